"""A key shows in no text, whoever wrote it and however it was escaped."""

from __future__ import annotations

import html
import io
import json
import logging
import traceback
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exe_core.fetching import Redaction

SECRET = "my+key/1 & <more>"
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=8, max_size=40)
FORMS = (
    str,
    quote,
    quote_plus,
    lambda key: quote(key, safe=""),
    lambda key: quote(quote(key, safe="")),
    lambda key: quote(key, safe="").lower(),
    lambda key: json.dumps(key)[1:-1],
    lambda key: html.escape(key),
    lambda key: str(httpx.QueryParams(k=key)).removeprefix("k="),
    lambda key: "".join(f"&#{ord(c)};" for c in key),
)


@given(printable, st.sampled_from(FORMS))
def test_a_key_is_found_in_every_form(key: str, form) -> None:
    assert Redaction([key])(f"GET /?key={form(key)}|q") == "GET /?key=<key>|q"


@given(st.text(st.characters(min_codepoint=127)), printable)
def test_a_text_without_the_key_is_left_as_it_is(text: str, key: str) -> None:
    assert Redaction([key])(f"({text})") == f"({text})"


def test_what_has_no_text_is_named() -> None:
    assert Redaction([SECRET])(httpx.ReadTimeout("")) == "ReadTimeout"


def test_no_key_hides_nothing() -> None:
    for clean in (Redaction([]), Redaction([""])):
        assert clean("as it is") == "as it is"


def test_of_two_keys_the_longer_goes_first() -> None:
    assert Redaction(["abcdefgh", "abcdefghij"])("abcdefghij") == "<key>"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def test_no_log_shows_a_key_while_it_is_in_force(stream: io.StringIO) -> None:
    factory = logging.getLogRecordFactory()
    with Redaction([SECRET]).in_force():
        logging.getLogger("httpx").info("GET %s", f"/?key={quote(SECRET)}")
        logging.getLogger("some.library").debug("headers %r", {"Authorization": SECRET})
        try:
            raise ValueError(f"illegal header {SECRET}")
        except ValueError:
            logging.getLogger("another").exception("it failed")
        logging.getLogger("hpack.hpack").debug("Encoded header block to %s", b"\x82\x86")
        logging.getLogger("careless").warning("%d of", SECRET)
    said = stream.getvalue()
    assert said.startswith("httpx GET /?key=<key>\nsome.library headers {'Authorization': '<key>'}")
    assert "ValueError: illegal header <key>" in said
    assert "hpack" not in said
    assert "careless %d of ('<key>',)" in said
    assert SECRET not in said
    assert logging.getLogRecordFactory() is factory
    logging.getLogger("after").info("%s", "as ever")
    assert stream.getvalue().endswith("after as ever\n")


def raised_within(raise_it) -> str:
    with pytest.raises(BaseException) as caught, Redaction([SECRET]).in_force():  # noqa: PT011
        raise_it()
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_an_exception_is_cleaned_with_all_that_came_before_it() -> None:
    def fail() -> None:
        try:
            try:
                raise KeyError(f"first {SECRET}")
            except KeyError:
                raise OSError(2, "No such file", f"/{SECRET}") from None
        except OSError as fault:
            raise RuntimeError(f"last {SECRET}") from fault

    text = raised_within(fail)
    assert "RuntimeError: last <key>" in text
    assert SECRET not in text


def test_an_interruption_passes_with_its_type() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    assert "KeyboardInterrupt" in raised_within(fail)


def test_a_chain_without_a_key_is_kept() -> None:
    def fail() -> None:
        try:
            raise ValueError("the cause")
        except ValueError as fault:
            raise RuntimeError("the effect") from fault

    assert "the cause" in raised_within(fail)
