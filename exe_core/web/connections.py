"""Connections to addresses that were checked, each with an end: a host may drip for ever."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cache
from ssl import SSLContext
from typing import Any
from urllib.request import getproxies

import httpcore
import httpx

from exe_core import __version__
from exe_core.web.addresses import AddressPolicy


class TimeLimit:
    """So many seconds of connections for what a thread does inside `with`, over all its uses.

    Without it, a host that sends a byte now and then is waited for without end.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._left = seconds

    def __enter__(self) -> TimeLimit:
        self._ends = time.monotonic() + self._left
        self._before = _limit.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _limit.reset(self._before)
        self._left = self._ends - time.monotonic()

    @property
    def is_spent(self) -> bool:
        """Say whether no time is left, between two uses."""
        return self._left <= 0

    def cap(self, timeout: float | None) -> float:
        """Shorten a timeout to the seconds that are left; if none are, it has passed."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"{self.seconds:g} s have passed")
        return left if timeout is None else min(timeout, left)


_limit: ContextVar[TimeLimit | None] = ContextVar("limit", default=None)


def _capped(timeout: float | None) -> float | None:
    limit = _limit.get()
    return limit.cap(timeout) if limit else timeout


class CheckedBackend(httpcore.SyncBackend):
    """Opens connections to the very addresses that were checked: a name is looked up once."""

    def __init__(self, policy: AddressPolicy) -> None:
        super().__init__()
        self._policy = policy

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection to the first address that answers."""
        try:
            addresses = self._policy.resolve(host, port)
        except (OSError, UnicodeError) as fault:
            raise httpcore.ConnectError(f"{host} can't be looked up: {fault}") from None
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                stream = super().connect_tcp(
                    address, port, _capped(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as fault:
                failed = fault
            else:
                return _CappedStream(stream)
        raise failed


class _CappedStream(httpcore.NetworkStream):
    """A connection that keeps to the time limit of the thread that uses it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _capped(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _capped(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _CappedStream(self._stream.start_tls(ssl_context, server_hostname, _capped(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


@cache
def _ssl_context() -> SSLContext:
    """Read the authorities that are trusted, once: it takes longer than most requests."""
    return httpx.create_ssl_context()


class CheckedTransport(httpx.HTTPTransport):
    """HTTP/1.1 and HTTP/2 over connections that a policy allows, or through an HTTP proxy.

    A proxy is trusted to connect where it should: it looks the names up itself.
    """

    def __init__(
        self, policy: AddressPolicy, *, limits: httpx.Limits, proxy: httpx.Proxy | None = None
    ) -> None:
        # httpx takes no network backend (encode/httpx, pull request 3749); all that its own
        # __init__ does is to make the pool
        if proxy:
            policy = AddressPolicy.trusting([str(proxy.url)])
        options: dict[str, Any] = {
            "ssl_context": _ssl_context(),
            "max_connections": limits.max_connections,
            "max_keepalive_connections": limits.max_keepalive_connections,
            "keepalive_expiry": limits.keepalive_expiry,
            "http2": True,
            "network_backend": CheckedBackend(policy),
        }
        self._pool = (
            httpcore.HTTPProxy(str(proxy.url), proxy_auth=proxy.raw_auth, **options)
            if proxy
            else httpcore.ConnectionPool(**options)
        )


def open_client(policy: AddressPolicy, *, timeout_s: float, connections: int) -> httpx.Client:
    """Make the client of a pull: HTTP/2 where it is offered, and only addresses that are allowed.

    The environment's proxies (`http_proxy`, `https_proxy`, `no_proxy`) are used, but not for the
    hosts that the policy trusts.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    direct = CheckedTransport(policy, limits=limits)
    proxies = getproxies()
    mounts: dict[str, httpx.BaseTransport | None] = {
        f"{scheme}://": CheckedTransport(policy, limits=limits, proxy=_proxy(proxies[scheme]))
        for scheme in ("http", "https")
        if scheme in proxies
    }
    near = [name.strip().lstrip("*.") for name in proxies.get("no", "").split(",") if name.strip()]
    for host in {*near, *(host for host, _ in policy.trusted)}:
        mounts[f"all://[{host}]" if ":" in host else f"all://*{host}"] = direct
    return httpx.Client(
        transport=direct,
        mounts=mounts if proxies else None,
        timeout=timeout_s,
        headers={"User-Agent": f"exe-core/{__version__} (photos for research)"},
    )


def _proxy(address: str) -> httpx.Proxy:
    return httpx.Proxy(address if "://" in address else f"http://{address}")
