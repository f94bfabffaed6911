"""Sends one HTTP request to a client-supplied URL, protected against SSRF, slow hosts and large responses.

The host name is resolved once, the address is checked, and the socket connects to that same address (no DNS rebinding).
Redirects are not followed, responses are not decompressed, proxies and ``.netrc`` of the environment are ignored. One
deadline covers everything.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..exceptions import AddressRefused
from ..protocol import address_rules
from ..protocol.values import Headers, value

READ = 4096
"""Bytes read of a response, at most."""
KEPT = 1000
"""Characters of it that are stored."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@value
class OutgoingRequest:
    """An HTTP request to be sent. Timeouts in seconds."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""
    rules: address_rules.Rules = address_rules.Rules()
    proxy: str = ""
    """URL of a proxy, which then decides what may be called; ``""`` = none."""
    connect: float = 3
    read: float = 10
    total: float = 15


@value
class Outcome:
    """The response, or why there is none."""

    status: int | None = None
    error: str = ""
    """``refused``, ``timeout``, ``connect``, ``tls`` or ``protocol``; ``""`` where there is a status."""
    milliseconds: int = 0
    answer: str = ""
    """The beginning of the response body, without control characters."""
    retry_after: str = ""


def send(outgoing: OutgoingRequest) -> Outcome:
    """Send ``outgoing`` and wait for the response, at most ``outgoing.total`` seconds. Never raises."""
    exchange = _Exchange(outgoing)
    began = time.monotonic()
    thread = threading.Thread(target=exchange.run, name="asyncexchange-transport", daemon=True)
    thread.start()  # a thread of its own, because a DNS lookup cannot be interrupted
    thread.join(outgoing.total)
    outcome = exchange.outcome
    if thread.is_alive() or outcome is None:
        exchange.abandon()
        outcome = Outcome(error="timeout")  # even if part of a response has arrived
    spent = round((time.monotonic() - began) * 1000)
    return Outcome(
        status=outcome.status,
        error=outcome.error,
        milliseconds=spent,
        answer=outcome.answer,
        retry_after=outcome.retry_after,
    )


class _Exchange:
    """One request and its response."""

    def __init__(self, outgoing: OutgoingRequest) -> None:
        self.outgoing = outgoing
        self.outcome: Outcome | None = None
        self.is_abandoned = False
        self.sockets: list[socket.socket] = []
        """Duplicates of the sockets: TLS wraps and detaches the originals."""

    def run(self) -> None:
        try:
            self.outcome = self._attempt()
        except (AddressRefused, InvalidIPAddress, requests.exceptions.InvalidURL, ValueError):
            self.outcome = Outcome(error="refused")
        except requests.Timeout:
            self.outcome = Outcome(error="timeout")
        except requests.exceptions.SSLError:
            self.outcome = Outcome(error="tls")
        except requests.ConnectionError:
            self.outcome = Outcome(error="protocol" if self.sockets else "connect")
        except Exception:
            self.outcome = Outcome(error="protocol")
        finally:
            self.close()

    def _attempt(self) -> Outcome:
        out = self.outgoing
        address_rules.check(out.url, out.rules)
        with requests.Session() as session:
            session.trust_env = False
            session.headers.clear()
            adapter = _adapter(self)
            for scheme in ("http://", "https://"):
                session.mount(scheme, adapter[scheme])
            response = session.request(
                out.method,
                out.url,
                data=out.body or None,
                headers={**dict(out.headers), "Accept-Encoding": "identity", "Connection": "close"},
                timeout=(out.connect, out.read),
                allow_redirects=False,
                stream=True,
                proxies={"http": out.proxy, "https": out.proxy} if out.proxy else {},
            )
            answer = response.raw.read(READ, decode_content=False)
            return Outcome(
                status=response.status_code,
                answer=readable(answer),
                retry_after=response.headers.get("Retry-After", ""),
            )

    def opened(self, connection: socket.socket) -> socket.socket:
        self.sockets.append(connection.dup())
        if self.is_abandoned:
            self.abandon()
        return connection

    def abandon(self) -> None:
        """Shut the sockets down, which wakes the thread that waits on them."""
        self.is_abandoned = True
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for connection in self.sockets:
            connection.close()


def readable(answer: bytes) -> str:
    return CONTROL.sub("", answer.decode("utf-8", "replace"))[:KEPT]


def _adapter(exchange: _Exchange) -> dict[str, HTTPAdapter]:
    if exchange.outgoing.proxy:
        return {scheme: _tracked(HTTPAdapter(), exchange) for scheme in ("http://", "https://")}
    return {
        scheme: _tracked(_FilteringAdapter(exchange.outgoing.rules, is_https=scheme == "https://"), exchange)
        for scheme in ("http://", "https://")
    }


class _FilteringAdapter(IPFilterAdapter):  # type: ignore[misc]  # the package ships no types
    """Connects to the address that was checked, by the rules of ``address_rules`` on top of the library's."""

    def __init__(self, rules: address_rules.Rules, *, is_https: bool) -> None:
        super().__init__(is_https_proto=is_https)
        self._rules = rules

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        try:
            host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
            found = ipaddress.ip_address(host["host"].strip("[]"))
        except InvalidIPAddress as refused:  # WEBHOOK_ALLOWED_NETWORKS may allow it
            found = refused.args[0]
            host, pool = HTTPAdapter.build_connection_pool_key_attributes(self, request, verify, cert)
            if self._is_https_proto:
                pool["assert_hostname"] = pool["server_hostname"] = host["host"]  # type: ignore[typeddict-unknown-key]
            host["host"] = str(found)
        if not address_rules.is_callable(found, self._rules):
            raise AddressRefused
        return host, pool


def _tracked(adapter: HTTPAdapter, exchange: _Exchange) -> HTTPAdapter:
    """``adapter``, whose connections register themselves with ``exchange``."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return exchange.opened(super()._new_conn())

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return exchange.opened(super()._new_conn())

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    adapter.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return adapter
