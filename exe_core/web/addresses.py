"""Which addresses are asked at all: one comes from the answer of somebody else's server.

It must not lead into the network of whoever pulls.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

PORTS = {80, 443, 8080, 8443}
"""Ports of the web; any other may be another service, whom a request might harm."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressError(ValueError):
    """An address that is not asked; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class AddressPolicy:
    """Says which addresses may be asked.

    Attributes
    ----------
    allow_private
        Loopback and private addresses too, at any port. Link-local ones never: there the machines
        of a cloud are told their credentials.
    trusted
        Hosts and ports that are asked whatever their address: those that the caller named.
    """

    allow_private: bool = False
    trusted: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def trusting(cls, urls: Iterable[str], *, allow_private: bool = False) -> AddressPolicy:
        """Make a policy that trusts the hosts of some addresses."""
        trusted = frozenset(_host_and_port(httpx.URL(url)) for url in urls)
        return cls(allow_private=allow_private, trusted=trusted)

    def check(self, url: httpx.URL) -> None:
        """Refuse an address by its looks: scheme, user, port, and a host that is a number.

        Raises
        ------
        AddressError
            With what is allowed.
        """
        if url.scheme not in ("http", "https"):
            raise AddressError(f"refused: scheme {url.scheme!r}, only http and https are fetched")
        if url.userinfo:
            raise AddressError("refused: the address holds a user or a password")
        host, port = _host_and_port(url)
        if not host:
            raise AddressError("refused: the address names no host")
        if (host, port) in self.trusted:
            return
        if port not in PORTS and not self.allow_private:
            allowed = ", ".join(map(str, sorted(PORTS)))
            raise AddressError(f"refused: port {port}, not one of {allowed}")
        if _is_number(host) and not self._allows(host):
            raise AddressError(_not_public(host))

    def resolve(self, host: str, port: int) -> list[str]:
        """Look a host up, and give its addresses if all of them may be asked.

        Raises
        ------
        AddressError
            If one of them may not.
        OSError, UnicodeError
            If it has none, or is no name.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if (host, port) not in self.trusted:
            for address in addresses:
                if not self._allows(address):
                    raise AddressError(_not_public(host))
        return addresses

    def _allows(self, address: str) -> bool:
        number = _embedded(ipaddress.ip_address(address))
        if number.is_multicast or number.is_link_local or number.is_unspecified:
            return False
        if self.allow_private and (number.is_private or number.is_loopback):
            return True
        site_local = isinstance(number, ipaddress.IPv6Address) and number.is_site_local
        return number.is_global and not number.is_reserved and not site_local


def _host_and_port(url: httpx.URL) -> tuple[str, int]:
    return url.raw_host.decode(), url.port or (443 if url.scheme == "https" else 80)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _not_public(host: str) -> str:
    return (
        f"refused: {host} is no public address; a study may allow it by "
        "pull.allow_private_addresses"
    )


def _embedded(
    number: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Give the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(number, ipaddress.IPv4Address):
        return number
    if number in _NAT64:
        return ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return number.ipv4_mapped or number.sixtofour or number
