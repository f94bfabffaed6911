"""Sends one message to an address that a client has named: bounded in time, bytes and reach.

The name is looked up once, the address found is judged, and the socket goes to that very address. Redirects are not
followed, answers not unpacked, the surroundings (proxies, ``.netrc``) not asked. A deadline covers all of it.
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
"""Bytes of an answer that are read at most."""
KEPT = 1000
"""Characters of it that are kept."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@value
class Outgoing:
    """A message to be sent. Times in seconds."""

    method: str
    url: str
    headers: Headers = ()
    body: bytes = b""
    rules: address_rules.Rules = address_rules.Rules()
    proxy: str = ""
    """Address of a proxy that guards what may be called instead of us; ``""`` = none."""
    connect: float = 3
    read: float = 10
    total: float = 15


@value
class Outcome:
    """How it went."""

    status: int | None = None
    error: str = ""
    """``refused``, ``timeout``, ``connect``, ``tls`` or ``protocol``; ``""`` where there is a status."""
    milliseconds: int = 0
    answer: str = ""
    """The beginning of the answer, readable."""
    retry_after: str = ""


def send(outgoing: Outgoing) -> Outcome:
    """Send it, and wait for the answer until the deadline. Never raises."""
    exchange = _Exchange(outgoing)
    began = time.monotonic()
    thread = threading.Thread(target=exchange.run, name="asyncexchange-transport", daemon=True)
    thread.start()  # of its own, because nothing interrupts a name server that does not answer
    thread.join(outgoing.total)
    outcome = exchange.outcome
    if thread.is_alive() or outcome is None:
        exchange.abandon()
        outcome = Outcome(error="timeout")  # whatever half an answer would have said
    spent = round((time.monotonic() - began) * 1000)
    return Outcome(
        status=outcome.status,
        error=outcome.error,
        milliseconds=spent,
        answer=outcome.answer,
        retry_after=outcome.retry_after,
    )


class _Exchange:
    """One message and its answer."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self.outcome: Outcome | None = None
        self.is_abandoned = False
        self.sockets: list[socket.socket] = []
        """Second handles of the connections: TLS takes the first ones away."""

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
        """Wake whoever waits on a connection of ours: there is nothing to come."""
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
        return {scheme: _watched(HTTPAdapter(), exchange) for scheme in ("http://", "https://")}
    return {
        scheme: _watched(_Guarded(exchange.outgoing.rules, is_https=scheme == "https://"), exchange)
        for scheme in ("http://", "https://")
    }


class _Guarded(IPFilterAdapter):  # type: ignore[misc]  # the package ships no types
    """Connects to the address that was judged, by our table on top of the library's."""

    def __init__(self, rules: address_rules.Rules, *, is_https: bool) -> None:
        super().__init__(is_https_proto=is_https)
        self._rules = rules

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        try:
            host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
            found = ipaddress.ip_address(host["host"].strip("[]"))
        except InvalidIPAddress as refused:  # perhaps in a network that the project allows
            found = refused.args[0]
            host, pool = HTTPAdapter.build_connection_pool_key_attributes(self, request, verify, cert)
            if self._is_https_proto:
                pool["assert_hostname"] = pool["server_hostname"] = host["host"]  # type: ignore[typeddict-unknown-key]
            host["host"] = str(found)
        if not address_rules.is_callable(found, self._rules):
            raise AddressRefused
        return host, pool


def _watched(adapter: HTTPAdapter, exchange: _Exchange) -> HTTPAdapter:
    """``adapter``, whose connections tell ``exchange`` of themselves."""

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
