"""Which URLs webhooks and callbacks may call, against server-side request forgery (SSRF).

A host name may resolve to another IP address each time. So the URL is checked when it is registered and at every send
(``check``), and the IP address where the socket is opened (``is_callable``).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from ..exceptions import AddressRefused
from .values import value

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_LENGTH = 2048
HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]", re.ASCII)
UNSAFE = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
"""Characters that URL parsers drop, repair or disagree on, and lone surrogates, which databases refuse."""

METADATA = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle Cloud
            "fd00:c1::a9fe:a9fe",
            "fd00:ec2::/32",  # Amazon: metadata, credentials of containers, names, time
            "fd20:ce::254",  # Google Cloud
            "fd00:42::42",  # Scaleway
            "fe80::a9fe:a9fe",  # OpenStack
        ),
    )
)
"""Metadata services of clouds, which hand out credentials: never called, whatever the settings allow."""
DENIED = tuple(
    map(
        ipaddress.ip_network,
        (
            "100.64.0.0/10",  # carrier-grade NAT
            "192.0.0.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "::/96",  # IPv4-compatible
            "64:ff9b::/96",  # NAT64
            "64:ff9b:1::/48",
            "2001::/23",  # Teredo, ORCHID
            "2002::/16",  # 6to4
            "3fff::/20",
            "5f00::/16",  # segment routing
            "fec0::/10",  # site-local
        ),
    )
)
"""Refused besides what Python considers private, reserved or multicast, which differs between its versions."""
TRANSLATED, TRANSLATED_HERE, COMPATIBLE = map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))


@value
class Rules:
    """What a project's settings allow."""

    ports: tuple[int, ...] = (80, 443, 8443)
    networks: tuple[str, ...] = ()
    """Networks that may be called although they are not public, such as ``10.1.0.0/16``."""
    https_only: bool = False


def check(url: str, rules: Rules) -> None:
    """Raise AddressRefused where ``url`` may not be called, as far as can be seen without resolving its host."""
    parts, host = _split(url)
    port = {"http": 80, "https": 443}.get(parts.scheme, 0) if parts.port is None else parts.port
    if parts.scheme not in ({"https"} if rules.https_only else {"http", "https"}) or port not in rules.ports:
        raise AddressRefused
    address = literal(host)
    if address is not None and not is_callable(address, rules):
        raise AddressRefused


def _split(url: str) -> tuple[SplitResult, str]:
    """(parts of ``url``, host in ASCII). Raises AddressRefused."""
    if len(url) > MAX_LENGTH or UNSAFE.search(url):
        raise AddressRefused
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError where it is invalid
        place = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc.removesuffix(":")
        host = place.encode("idna").decode().lower() if not place.isascii() else place.lower()
    except ValueError:
        raise AddressRefused from None
    if not HOST.fullmatch(host):  # userinfo and percent signs do not pass
        raise AddressRefused
    return parts, host


def literal(host: str) -> Address | None:
    """The IP address that ``host`` is a literal of, in any notation that resolvers accept; None for a name."""
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise AddressRefused from None
    bare = host.rstrip(".")
    if bare == "localhost" or bare.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare))  # decimal, hexadecimal, octal and short forms too
    except OSError:
        return None


def is_callable(address: Address, rules: Rules) -> bool:
    """Whether a socket may be opened to ``address``, and to every IPv4 address that is embedded in it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_callable(address.ipv4_mapped, rules)
        if not all(is_callable(inner, rules) for inner in _inner(address)):
            return False
    if _is_in(address, METADATA):
        return False
    if _is_in(address, tuple(ipaddress.ip_network(network) for network in rules.networks)):
        return True
    return address.is_global and not address.is_multicast and not address.is_reserved and not _is_in(address, DENIED)


def _inner(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """The embedded IPv4 addresses to which translators and tunnels would forward."""
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in TRANSLATED or (address in COMPATIBLE and int(last) > 1):
        yield last
    if address in TRANSLATED_HERE:  # a prefix of any length (RFC 6052 section 2.2); what is zero is padding
        bits = f"{int(address):0128b}"
        places = (bits[96:], bits[48:64] + bits[72:88], bits[56:64] + bits[72:96], bits[72:104])
        yield from (ipaddress.IPv4Address(int(place, 2)) for place in places if int(place, 2) >> 24)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if (int(address) >> 32) & 0xFDFFFFFF == 0x5EFE:  # ISATAP (RFC 5214)
        yield last


def _is_in(address: Address, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    return any(address in network for network in networks)
