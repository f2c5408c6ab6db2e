"""Pull photos from their sources: side by side, one pull a folder, to be stopped at any moment.

A pull that was stopped, by a quota, a fault or a kill, goes on where it was when it is called
again; what is complete is not asked for again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tqdm import tqdm

from exe_core.config import Study
from exe_core.ledger import Ledger
from exe_core.photo_sites import SOURCES, Source, Terms, WebSource
from exe_core.pull.photo_lists import ListSearch
from exe_core.pull.pulling import Puller
from exe_core.pull.searching import Quota, Search, SiteSearch
from exe_core.web.addresses import AddressPolicy
from exe_core.web.breaker import Breaker
from exe_core.web.connections import open_client
from exe_core.web.fetching import Fetcher, SourceError
from exe_core.web.redaction import Redaction
from exe_core.web.storage import storage_told

log = logging.getLogger(__name__)


class IncompletePullError(SourceError):
    """Some queries are unfinished; the next pull goes on with them."""


def pull(
    study: Study,
    *,
    base_urls: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    terms: Sequence[str] = (),
    progress: bool = True,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Search every source of a study for its keywords, and download the photos.

    Sources are pulled from at the same time. Writes the tables hits, photos and requests, and the
    photos below ``study.raw / "photos"``; `exe_core.settings.Pull` says when a query ends. Pages
    that are complete are not asked for again; one with a failed photo is, as addresses of images
    expire.

    Parameters
    ----------
    study
        Which sources, designs and labels.
    base_urls
        Source -> the address of its search, in place of the official one: a stand-in.
    keys
        Source -> key; by default from the environment variables that `SOURCES` names.
    terms
        Of the photos of stand-ins: `exe_core.photo_sites.Terms`. The sources' own are not theirs.
    progress
        Show a bar: photos had and known of, their rate, the time left.
    sleep
        Called with the seconds to wait.

    Raises
    ------
    SourceError
        If a key is missing, or another pull writes into the same folder.
    IncompletePullError
        If queries are left unfinished, by a quota or by faults; all the others are done.
    StorageError
        If the disk takes no more.
    """
    sources = [SOURCES[name] for name in study.pull.sources]
    secrets = {source.name: _key(source, keys) for source in sources}
    clean, stop = Redaction(secrets.values()), threading.Event()

    def wait_or_stop(seconds: float) -> None:
        if stop.wait(seconds):
            raise SourceError("the pull was stopped")

    with storage_told(study.raw), _alone(study.raw), clean.in_force(), ExitStack() as stack:
        ledger = Ledger(study)
        stack.callback(ledger.close)
        bar = stack.enter_context(tqdm(desc="photos", unit="photo", total=0, disable=not progress))
        fetchers = _Fetchers(study, base_urls or {}, clean=clean, sleep=sleep or wait_or_stop)
        stack.callback(fetchers.close)
        pullers = [
            Puller(
                study=study,
                source=source.name,
                search=_search(
                    study,
                    source,
                    stand_in=(base_urls or {}).get(source.name),
                    terms=Terms(*terms),
                    key=secrets[source.name],
                    fetcher=fetchers.for_thread,
                ),
                fetcher=fetchers.for_thread,
                clean=clean,
                ledger=ledger,
                bar=bar,
                stop=stop,
            )
            for source in sources
        ]
        left = _run_all(pullers, stop=stop)
    log.info("%s", ledger.summary())
    if left:
        raise IncompletePullError(
            f"{ledger.summary()}; unfinished: {'; '.join(left)}. What was pulled is kept: pull "
            "again to go on"
        )


def _run_all(pullers: Sequence[Puller], *, stop: threading.Event) -> list[str]:
    """Run the loops of all sources side by side; a fault or an interruption of one ends all."""
    with ThreadPoolExecutor(len(pullers)) as pool:
        runs = [pool.submit(puller.run) for puller in pullers]
        try:
            wait(runs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    return [reason for run in runs for reason in run.result()]


def _key(source: Source, keys: Mapping[str, str] | None) -> str:
    variable = source.key_variable or ""
    given = os.environ.get(variable, "") if keys is None else keys.get(source.name, "")
    if not given.strip() and variable and source.key_needed:
        raise SourceError(
            f"no key for {source.name}: set the environment variable {variable}; "
            "data/README.md says where a key is had"
        )
    if not (given.strip().isascii() and given.strip().isprintable()):
        raise SourceError(
            f"the key of {source.name} holds letters or signs that none has: look at {variable}"
        )
    return given.strip()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second pull into one folder; the system frees the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".pull.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(f"another pull into {folder.name} is running: wait for it") from None
        yield


def _search(
    study: Study,
    source: Source,
    *,
    stand_in: str | None,
    terms: Terms,
    key: str,
    fetcher: Callable[[], Fetcher],
) -> Search:
    settings = study.pull
    per_page = settings.per_page[source.name]
    if not isinstance(source, WebSource):
        path = study.data_dir / str(settings.local)
        return ListSearch(path, per_page=per_page, fetcher=fetcher)
    return SiteSearch(
        site=source,
        endpoint=stand_in or source.endpoint,
        key=key,
        terms=terms if stand_in else source.terms,
        per_page=per_page,
        filters=settings.filters.get(source.name, {}),
        quota=Quota(window_s=source.window_s, slow_below=settings.slow_below_quota),
        fetcher=fetcher,
    )


class _Fetchers:
    """A fetcher for each thread.

    Threads can't safely share an HTTP/2 connection (encode/httpx, issue 3072), and its end would be
    a fault of all that is on its way over it.
    """

    def __init__(
        self,
        study: Study,
        base_urls: Mapping[str, str],
        *,
        clean: Redaction,
        sleep: Callable[[float], None],
    ) -> None:
        private = study.pull.allow_private_addresses
        self._policy = AddressPolicy.trusting(base_urls.values(), allow_private=private)
        self._settings, self._clean, self._sleep = study.pull, clean, sleep
        self._own, self._clients, self._breaker = threading.local(), ExitStack(), Breaker()

    def for_thread(self) -> Fetcher:
        """Give the fetcher of the calling thread."""
        if not hasattr(self._own, "fetcher"):
            timeout_s = self._settings.timeout_s
            client = open_client(self._policy, timeout_s=timeout_s, connections=2)
            self._own.fetcher = Fetcher(
                client=self._clients.enter_context(client),
                clean=self._clean,
                retries=self._settings.retries,
                sleep=self._sleep,
                policy=self._policy,
                longest_s=self._settings.photo_timeout_s,
                breaker=self._breaker,
            )
        return self._own.fetcher

    def close(self) -> None:
        """Close all connections."""
        self._clients.close()
