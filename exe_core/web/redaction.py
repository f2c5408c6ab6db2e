"""Keep secrets out of all that is written: texts, log records and exceptions."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

BLANK = "<key>"


class Redaction:
    """Takes keys out of texts, in whatever form they stand there: a key may be part of an address.

    Parameters
    ----------
    secrets
        The keys. Found as they are, percent-encoded once or twice, and as JSON, HTML or Python
        escape them, also where only some of their characters are.

    Examples
    --------
    >>> Redaction(["a/b+c"])("GET /?key=a%2fb%2Bc&q=sad")
    'GET /?key=<key>&q=sad'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = ["".join(map(_any_form, secret)) for secret in secrets if secret]
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first) or r"(?!)", flags=re.IGNORECASE)

    def __call__(self, content: object) -> str:
        """Give the text of something, or the name of its type if it has none, without the keys."""
        return self._pattern.sub(BLANK, str(content) or type(content).__name__)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Keep the keys out of all log records meanwhile, and out of the exception that ends it."""
        factory, packed = logging.getLogRecordFactory(), logging.getLogger("hpack")
        level = packed.level
        logging.setLogRecordFactory(lambda *given, **more: self._clean(factory(*given, **more)))
        packed.setLevel(logging.INFO)  # its DEBUG shows the headers compressed: keys in disguise
        try:
            yield
        except BaseException as fault:
            self._scrub(fault)
            raise
        finally:
            logging.setLogRecordFactory(factory)
            packed.setLevel(level)

    def _clean(self, record: logging.LogRecord) -> logging.LogRecord:
        if record.exc_info:
            record.exc_text = self(logging.Formatter().formatException(record.exc_info))
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # its arguments don't fit; logging never raises for that
            message = f"{record.msg} {record.args}"
        record.msg, record.args = self(message), ()
        return record

    def _scrub(self, fault: BaseException) -> None:
        """Take the keys out of an exception and its chain; cut off what can't be rewritten."""
        chain = [fault]
        for link in chain:
            before = (link.__cause__, link.__context__)
            chain += [one for one in before if one is not None and one not in chain]
        for link in chain:
            link.args = tuple(self(arg) if isinstance(arg, str) else arg for arg in link.args)
        for link in chain:
            if link.__cause__ and self._is_in(link.__cause__):
                link.__cause__ = None
            if link.__context__ and self._is_in(link.__context__):
                link.__context__ = None

    def _is_in(self, fault: BaseException) -> bool:
        return self._pattern.search(f"{fault} {fault!r}") is not None


def _any_form(character: str) -> str:
    """Make a pattern of the forms in which a character of a key may stand in a text."""
    percent = "".join(f"%{byte:02X}" for byte in character.encode())
    forms = {
        character,
        percent,
        percent.replace("%", "%25"),
        json.dumps(character)[1:-1],
        html.escape(character),
        *(f.format(ord(character)) for f in ("\\u{:04x}", "\\x{:02x}", "&#{};", "&#x{:x};")),
    }
    forms |= {"/": {"\\/"}, " ": {"+"}, "+": {" "}}.get(character, set())
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"
