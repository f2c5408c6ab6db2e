"""A search minds its quota by what it hears, and trusts nothing that it reads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from photo_server import Clock, Site

from exe_core.fetching import Fetcher, QuotaError, Redaction, SourceError
from exe_core.pull import Page, Quota, SiteSearch, describe
from exe_core.sources import PEXELS, PIXABAY, UNSPLASH, Found, Terms, WebSource

PAGE = Page("pexels", "v1", "sad face", 2)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, to be set."""
    moment = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    return moment


def search_of(source: WebSource, endpoint: str, **more: Any) -> SiteSearch:
    fetcher = Fetcher(client=httpx.Client(), clean=Redaction(["secret"]), retries=0, sleep=Clock())
    usual: dict[str, Any] = {"key": "secret", "terms": Terms(), "per_page": 3, "filters": {}}
    quota = Quota(window_s=60, slow_below=20)
    given = {"endpoint": endpoint, "quota": quota, "fetcher": lambda: fetcher, **usual, **more}
    return SiteSearch(site=source, **given)


def hear(quota: Quota, **headers: str) -> None:
    quota.hear(httpx.Headers({name.replace("_", "-"): text for name, text in headers.items()}))


class TestQuota:
    def test_nothing_heard_is_nothing_to_wait_for(self):
        quota = Quota(window_s=60, slow_below=20)
        assert quota.pause_s() == 0
        hear(quota)
        assert (quota.left, quota.pause_s(), quota.wait_s()) == (None, 0, 60)

    def test_what_is_left_is_spread_over_the_time_till_more(self, now):
        quota = Quota(window_s=60, slow_below=20)
        hear(quota, X_RateLimit_Remaining="20", X_RateLimit_Reset="100")
        assert quota.pause_s() == 0
        hear(quota, X_RateLimit_Remaining="9", X_RateLimit_Reset="100")
        assert quota.pause_s() == 10
        now[0] += 50
        assert quota.pause_s() == 5
        now[0] += 51
        assert quota.pause_s() == 0, "it is renewed"

    def test_a_pause_is_bounded(self):
        quota = Quota(window_s=60, slow_below=20)
        hear(quota, X_RateLimit_Remaining="1", X_RateLimit_Reset="80000")
        assert quota.pause_s() == 30

    def test_a_spent_one_is_waited_for_or_come_back_to(self, now):
        quota = Quota(window_s=60, slow_below=20)
        hear(quota, X_RateLimit_Remaining="0", X_RateLimit_Reset="100")
        assert quota.pause_s() == 100
        hear(quota, X_RateLimit_Remaining="0", X_RateLimit_Reset="3600")
        assert quota.wait_s() == 3600
        with pytest.raises(QuotaError, match="come back after"):
            quota.pause_s()
        now[0] += 3601
        assert quota.pause_s() == 0

    def test_of_several_the_one_with_the_least_left_counts(self, now):
        quota = Quota(window_s=60, slow_below=20)
        hear(
            quota, X_RateLimit_Available_anon_burst="5", X_RateLimit_Available_anon_sustained="180"
        )
        assert quota.left == 5
        assert quota.pause_s() == 10, "no reset was told: the window began with the first answer"
        now[0] += 30
        hear(
            quota, X_RateLimit_Available_anon_burst="4", X_RateLimit_Available_anon_sustained="179"
        )
        assert quota.pause_s() == 6

    def test_a_clock_that_is_set_back_or_forth_changes_nothing(self, now, monkeypatch):
        quota = Quota(window_s=60, slow_below=20)
        hear(quota, X_RateLimit_Remaining="9", X_RateLimit_Reset=str(int(time.time()) + 100))
        for jump in (-1e6, 1e6):
            monkeypatch.setattr(time, "time", lambda jump=jump: 1.8e9 + jump)
            assert quota.pause_s() == pytest.approx(10, abs=0.2)


class TestSiteSearch:
    def test_the_question_has_all_that_matters_and_no_key(self):
        pixabay = search_of(PIXABAY, PIXABAY.endpoint, filters={"lang": "de"})
        assert pixabay.asked(PAGE) == (
            "category=people&image_type=photo&key=&lang=de&page=2&per_page=3&q=sad+face"
            "&safesearch=true"
        )
        assert replace(pixabay, filters={}).asked(PAGE) != pixabay.asked(PAGE)
        assert replace(pixabay, per_page=4).asked(PAGE) != pixabay.asked(PAGE)

    @pytest.mark.parametrize("photo_id", ["../../etc/passwd", "", "a b", "x" * 65, "a/b", "a.b"])
    def test_an_id_that_is_no_name_of_a_file_is_refused(self, site, photo_id):
        found = lambda _: [Found(f"unsplash:{photo_id}", "https://x.org/1.jpg")]  # noqa: E731
        pexels = replace(PEXELS, photos=found)
        search = search_of(pexels, f"{site.address}/pexels", key="pexels/secret key")
        with pytest.raises(SourceError, match="not as pexels documents it: ValueError"):
            search.ask(PAGE._replace(page=1))

    def test_a_photo_without_an_address_is_refused(self, site):
        pexels = replace(PEXELS, photos=lambda _: [Found("pexels:1", None)])
        search = search_of(pexels, f"{site.address}/pexels", key="pexels/secret key")
        with pytest.raises(SourceError, match="TypeError pexels:1 has no address"):
            search.ask(PAGE._replace(page=1))

    @pytest.mark.parametrize(
        "url", [None, "https://evil.org/d", "https://api.unsplash.com.evil.org/d", "file:///d"]
    )
    def test_no_other_site_gets_the_key(self, url):
        search = search_of(UNSPLASH, UNSPLASH.endpoint)
        with pytest.raises(SourceError, match="can't be reported"):
            search.tell(Found("unsplash:a", "https://x.org/1.jpg", report_url=url))


class TestDescribe:
    PHOTO = Found("pexels:1", "http://h:1/1.jpg", page_url="http://h:1/p/1", author="A {author} B")

    def test_a_site_speaks_for_photos_that_say_nothing(self):
        row = describe(self.PHOTO, terms=Terms("L", "https://l.org", "Photo by {author} on P"))
        assert (row["source"], row["licence"], row["licence_url"]) == (
            "pexels",
            "L",
            "https://l.org",
        )
        assert row["attribution"] == "Photo by A {author} B on P"

    def test_what_is_said_of_a_photo_goes_first(self):
        own = self.PHOTO._replace(terms=Terms("CC0 1.0", "https://c.org", "as said"), author=None)
        row = describe(own, terms=Terms("L", "https://l.org", "Photo by {author}"))
        assert (row["licence"], row["attribution"]) == ("CC0 1.0", "as said")

    def test_unknown_stays_unknown(self):
        row = describe(Found("local:1", "1.jpg"), terms=Terms())
        assert {row[name] for name in ("licence", "licence_url", "attribution", "author")} == {None}

    def test_the_address_of_a_stand_in_is_left_out(self):
        row = describe(self.PHOTO, terms=Terms(), origin="http://h:1")
        assert (row["url"], row["page_url"], row["author_url"]) == ("/1.jpg", "/p/1", None)
