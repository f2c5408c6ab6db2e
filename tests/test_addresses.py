"""Only public addresses may be asked, however they are written."""

from __future__ import annotations

import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from looked_up import answers_of

from exe_core.fetching import AddressError, AddressPolicy

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "::1", "fd00::1"]
PRIVATE += ["100.64.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
NEVER = ["169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::"]
RESERVED = ["240.0.0.1", "255.255.255.255", "192.0.2.1", "2001:db8::1", "fec0::1", "2001::1"]

strict, lax = AddressPolicy(), AddressPolicy(allow_private=True)


def at(address: str, path: str = "/1.jpg", *, scheme: str = "https") -> httpx.URL:
    host = f"[{address}]" if ":" in address else address
    return httpx.URL(f"{scheme}://{host}{path}")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_asked(address: str) -> None:
    strict.check(at(address))
    (resolved,) = strict.resolve(address, 443)
    assert ipaddress.ip_address(resolved) == ipaddress.ip_address(address)


@pytest.mark.parametrize("address", PRIVATE + NEVER + RESERVED)
def test_no_other_address_is_asked(address: str) -> None:
    with pytest.raises(AddressError, match="no public address"):
        strict.check(at(address))
    with pytest.raises(AddressError, match="no public address"):
        strict.resolve(address, 443)


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0x7f.1", "017700000001"])
def test_a_name_is_judged_by_what_it_stands_for(name: str) -> None:
    with pytest.raises(AddressError, match=f"{name} is no public address"):
        strict.resolve(name, 80)


def test_a_study_may_allow_private_addresses_but_not_those_of_a_clouds_secrets() -> None:
    for address in set(PRIVATE) - {"100.64.0.1"}:  # that one is shared by a provider's customers
        lax.check(at(address))
        assert lax.resolve(address, 8000)
    for address in NEVER:
        with pytest.raises(AddressError):
            lax.resolve(address, 443)


def test_a_host_is_trusted_at_its_port_only() -> None:
    policy = AddressPolicy.trusting(["http://127.0.0.1:5000/v1/search", "https://[::1]/"])
    policy.check(httpx.URL("http://127.0.0.1:5000/photos/1.jpg"))
    policy.check(httpx.URL("https://[::1]/photos/1.jpg"))
    assert policy.resolve("127.0.0.1", 5000) == ["127.0.0.1"]
    for address in ("http://127.0.0.1:5001/", "http://127.0.0.1/", "http://127.0.0.2:5000/"):
        with pytest.raises(AddressError):
            policy.check(httpx.URL(address))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("file:///etc/hostname", "scheme 'file', only http and https"),
        ("data:image/png;base64,AAAA", "scheme 'data'"),
        ("ftp://example.org/1.jpg", "scheme 'ftp'"),
        ("gopher://example.org/", "scheme 'gopher'"),
        ("/1.jpg", "scheme ''"),
        ("http:///1.jpg", "names no host"),
        ("https://me:secret@example.org/1.jpg", "a user or a password"),
        ("https://example.org@10.0.0.1/", "a user or a password"),
        ("http://example.org:22/", "port 22, not one of 80, 443, 8080, 8443"),
        ("http://example.org:6379/", "port 6379"),
    ],
)
def test_an_address_that_looks_wrong_is_refused(address: str, reason: str) -> None:
    with pytest.raises(AddressError, match=f"refused: .*{reason}"):
        strict.check(httpx.URL(address))


@given(st.ip_addresses())
def test_what_is_asked_is_global_whatever_the_address(address) -> None:
    try:
        strict.check(at(str(address)))
    except AddressError:
        return
    assert address.version == 6 or not address.is_private
    assert not any([address.is_loopback, address.is_link_local, address.is_multicast])


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers_of(monkeypatch, ["8.8.8.8", "192.168.0.1"])
    with pytest.raises(AddressError, match=r"photos\.test is no public address"):
        strict.resolve("photos.test", 443)
