from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest
import requests
import trustme

from django_asyncexchange.protocol.address_rules import Rules
from django_asyncexchange.webhooks import transport
from django_asyncexchange.webhooks.transport import OutgoingRequest

from .. import hostile, receivers
from ..receivers import misbehaving, receiving

OPEN = Rules(ports=tuple(range(1, 65536)), networks=("127.0.0.0/8",))
EVERYWHERE = Rules(ports=tuple(range(1, 65536)))


def send(url, *, rules=OPEN, **changes):
    return transport.send(OutgoingRequest(**{"method": "POST", "url": url, "body": b"{}", "rules": rules, **changes}))


def has_version_6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Network:
    """A fake network: names resolve from a table, and every connection is refused."""

    def __init__(self, names):
        self.names = dict(names)
        self.reached = []

    def look_up(self, host, port, *args, **kwargs):
        known = self.names.get(host, [host])
        found = known.pop(0) if callable(getattr(known, "pop", None)) and len(known) > 1 else known[0]
        try:
            address = ipaddress.ip_address(found)
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "unknown") from None
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        place = (found, port or 0, 0, 0) if address.version == 6 else (found, port or 0)
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    def connect(self, place):
        self.reached.append(place[0])
        raise ConnectionRefusedError


@pytest.fixture
def network(monkeypatch):
    names = {**hostile.NAMES, "public.example": ["203.0.114.1"]}
    network = Network({name: list(found) for name, found in names.items()})
    monkeypatch.setattr(socket, "getaddrinfo", network.look_up)
    monkeypatch.setattr(socket.socket, "connect", lambda _, place: network.connect(place))
    return network


class TestReach:
    @pytest.mark.parametrize("url", [*hostile.LOOKS, *(f"http://{name}/" for name in hostile.NAMES)])
    def test_no_connection_to_a_forbidden_address(self, network, url):
        assert send(url, rules=EVERYWHERE).error == "refused"
        assert network.reached == []

    @pytest.mark.parametrize("url", hostile.PORTS)
    def test_no_connection_to_an_odd_port(self, network, url):
        assert send(url, rules=Rules()).error == "refused"
        assert network.reached == []

    @pytest.mark.parametrize(("url", "address"), hostile.PUBLIC.items())
    def test_public_address_is_connected(self, network, url, address):
        assert send(url, rules=Rules()).error == "connect"
        assert set(network.reached) == {address}

    def test_dns_rebinding_does_not_reach_a_private_address(self, network):
        network.names["rebinding.example"] = ["203.0.114.1", "127.0.0.1"]
        send("http://rebinding.example/", rules=Rules())
        assert set(network.reached) <= {"203.0.114.1"}
        network.names["rebinding.example"] = ["127.0.0.1"]
        assert send("http://rebinding.example/", rules=Rules()).error == "refused"
        assert "127.0.0.1" not in network.reached

    @pytest.mark.skipif(not has_version_6(), reason="this machine has no loopback of version 6")
    def test_ipv6_address_in_an_allowed_network_is_connected(self):
        with receiving(host="::1") as receiver:
            outcome = send(f"http://[::1]:{receiver.port}/hook", rules=Rules(ports=OPEN.ports, networks=("::1/128",)))
        assert outcome.status == 200
        assert receiver.seen[0].headers["host"] == f"[::1]:{receiver.port}"

    def test_unknown_name_is_a_connect_error(self, network):
        assert send("http://nowhere.example/", rules=Rules()).error == "connect"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("where", ["/canary", "http://169.254.169.254/", "file:///etc/passwd"])
    def test_redirect_is_not_followed(self, status, where):
        with receiving((status, {"Location": where}, b"")) as receiver:
            outcome = send(receiver.url())
        assert outcome.status == status
        assert [seen.path for seen in receiver.seen] == ["/hook"]

    def test_netrc_and_proxy_environment_are_ignored(self, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login me password canary\n")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
        with receiving() as receiver:
            assert send(receiver.url()).status == 200
        assert "authorization" not in receiver.seen[0].headers

    def test_proxy_of_the_project_is_used(self):
        with receiving() as proxy:
            outcome = send("http://public.example/hook", rules=Rules(), proxy=proxy.url(""))
        assert outcome.status == 200
        assert proxy.seen[0].path == "http://public.example/hook"


class TestTls:
    """TLS verifies the host name, not the address that the socket is connected to."""

    @pytest.fixture
    def secure(self, monkeypatch, tmp_path):
        """A context manager: a receiver with a certificate for ``name``, reached as ``hooks.example``."""
        look_up = socket.getaddrinfo

        def here(host, *args, **kwargs):
            return look_up("127.0.0.1" if host == "hooks.example" else host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", here)

        @contextlib.contextmanager
        def serve(name, *, is_trusted=True):
            authority = trustme.CA()
            if is_trusted:
                authority.cert_pem.write_to_path(tmp_path / "authority.pem")
                monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "authority.pem"))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
            asked = []
            context.sni_callback = lambda connection, server_name, _: asked.append(server_name)
            with receiving(tls=context) as receiver:
                yield receiver, asked

        return serve

    def test_host_name_is_sent_by_sni_and_verified(self, secure):
        with secure("hooks.example") as (receiver, asked):
            outcome = send(f"https://hooks.example:{receiver.port}/hook")
        assert (outcome.status, outcome.error) == (200, "")
        assert asked == ["hooks.example"]
        assert receiver.seen[0].headers["host"] == f"hooks.example:{receiver.port}"

    @pytest.mark.parametrize(("name", "is_trusted"), [("other.example", True), ("hooks.example", False)])
    def test_invalid_certificate_gets_no_message(self, secure, name, is_trusted):
        with secure(name, is_trusted=is_trusted) as (receiver, _):
            outcome = send(f"https://hooks.example:{receiver.port}/hook")
        assert (outcome.status, outcome.error) == (None, "tls")
        assert not receiver.seen

    def test_total_timeout_applies(self, secure):
        with secure("hooks.example") as (receiver, _):
            over = threading.Event()
            receiver.before = lambda seen: over.wait(10)
            outcome = send(f"https://hooks.example:{receiver.port}/hook", connect=2, read=5, total=0.7)
            over.set()
        assert (outcome.status, outcome.error) == (None, "timeout")
        assert outcome.milliseconds < 2000


class TestMessage:
    def test_message_arrives_unchanged(self):
        with receiving() as receiver:
            outcome = send(
                receiver.url("/hook?a=%20b"), headers=(("X-Own", "1"), ("User-Agent", "me")), body=b'{"a": 1}'
            )
        assert (outcome.status, outcome.answer, outcome.error) == (200, "thanks", "")
        [seen] = receiver.seen
        assert (seen.method, seen.path, seen.body) == ("POST", "/hook?a=%20b", b'{"a": 1}')
        assert (seen.headers["x-own"], seen.headers["user-agent"]) == ("1", "me")
        assert seen.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert seen.headers["accept-encoding"] == "identity"

    def test_get_has_no_body(self):
        with receiving() as receiver:
            send(receiver.url(), method="GET", body=b"")
        assert receiver.seen[0].method == "GET"
        assert "content-length" not in receiver.seen[0].headers

    def test_retry_after_is_returned(self):
        with receiving((429, {"Retry-After": "120"}, b"slow down")) as receiver:
            outcome = send(receiver.url())
        assert (outcome.status, outcome.retry_after) == (429, "120")

    def test_response_body_is_printable_and_truncated(self):
        with receiving((500, {}, b"\x00\x1b[31m" + b"x" * 5000)) as receiver:
            answer = send(receiver.url()).answer
        assert len(answer) == 1000
        assert answer.isprintable()


class TestMisbehaviour:
    QUICK = {"connect": 1.0, "read": 0.2, "total": 0.4}

    @pytest.mark.parametrize(
        "misbehave", [receivers.drip_header, receivers.drip_body, receivers.black_hole, receivers.go_on]
    )
    def test_deadline_ends_a_slow_response(self, misbehave):
        with misbehaving(misbehave) as port:
            outcome = send(f"http://127.0.0.1:{port}/", **self.QUICK)
        assert (outcome.status, outcome.error) == (None, "timeout")

    @pytest.mark.parametrize("misbehave", [receivers.drip_header, receivers.drip_body, receivers.go_on])
    def test_deadline_ends_the_thread(self, misbehave):
        with misbehaving(misbehave) as port:
            send(f"http://127.0.0.1:{port}/", **self.QUICK)
            for thread in threading.enumerate():
                if thread.name == "asyncexchange-transport":
                    thread.join(5)
                    assert not thread.is_alive()

    def test_deadline_ends_a_slow_name_lookup(self, monkeypatch):
        released = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(5) and [])
        try:
            assert send("http://public.example/", rules=Rules(), **self.QUICK).error == "timeout"
        finally:
            released.set()

    @pytest.mark.parametrize("misbehave", [receivers.reset, receivers.babble])
    def test_broken_http_is_a_protocol_error(self, misbehave):
        with misbehaving(misbehave) as port:
            assert send(f"http://127.0.0.1:{port}/").error == "protocol"

    def test_closed_port_is_a_connect_error(self):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        assert send(f"http://127.0.0.1:{port}/").error == "connect"

    def test_plain_text_instead_of_tls_is_a_tls_error(self):
        with misbehaving(receivers.babble) as port:
            assert send(f"https://127.0.0.1:{port}/").error == "tls"

    @pytest.mark.parametrize("misbehave", ["bomb", "flood"])
    def test_memory_does_not_grow_with_the_response(self, misbehave):
        """In a process of its own, so that the peak is this request's."""
        with misbehaving(getattr(receivers, misbehave)) as port:
            grown = subprocess.run(
                [sys.executable, "-c", MEASURE, str(port)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        assert int(grown) < 5 * 1024  # KiB


MEASURE = """
import resource, sys
import django
django.setup()
from tests.receivers import receiving
from tests.webhooks.test_transport import send
with receiving() as receiver:
    send(receiver.url())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert send(f"http://127.0.0.1:{sys.argv[1]}/").status == 200
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
