from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.exceptions import AddressRefused
from django_asyncexchange.protocol import address_rules
from django_asyncexchange.protocol.address_rules import Rules

from .. import hostile

ANY_PORT = Rules(ports=tuple(range(1, 65536)))


@pytest.mark.parametrize("url", hostile.LOOKS)
def test_url_that_looks_hostile_is_refused(url):
    with pytest.raises(AddressRefused):
        address_rules.check(url, ANY_PORT)


@pytest.mark.parametrize("url", hostile.PUBLIC)
def test_public_url_is_accepted(url):
    address_rules.check(url, Rules())


@pytest.mark.parametrize("url", [f"http://{name}/" for name in hostile.NAMES])
def test_host_name_is_accepted_before_it_is_resolved(url):
    address_rules.check(url, Rules())


@pytest.mark.parametrize("url", [*hostile.PORTS, "http://public.example:0/", "http://public.example:99999/"])
def test_unlisted_port_is_refused(url):
    with pytest.raises(AddressRefused):
        address_rules.check(url, Rules())


@pytest.mark.parametrize(
    "url",
    ["", "public.example", "//public.example/", "http://", "https://:443/", f"http://public.example/{'x' * 2048}"],
)
def test_malformed_url_is_refused(url):
    with pytest.raises(AddressRefused):
        address_rules.check(url, Rules())


def test_http_is_refused_with_https_only():
    rules = Rules(https_only=True)
    address_rules.check("https://public.example/", rules)
    with pytest.raises(AddressRefused):
        address_rules.check("http://public.example/", rules)


def test_internationalized_host_name_is_accepted():
    address_rules.check("https://пример.рф/путь", Rules())


def test_allowed_network_is_accepted():
    rules = Rules(networks=("127.0.0.0/8", "10.1.0.0/16"))
    address_rules.check("http://127.0.0.1/", rules)
    address_rules.check("http://10.1.2.3/", rules)
    with pytest.raises(AddressRefused):
        address_rules.check("http://10.2.0.1/", rules)


METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
    "fe80::a9fe:a9fe",
]
BASES = {
    "mapped": ("::ffff:0:0", 0),
    "compatible": ("::", 0),
    "translated": ("64:ff9b::", 0),
    "translated here": ("64:ff9b:1::", 0),
    "6to4": ("2002::", 80),
    "Teredo, its server": ("2001::f7f7:f7f7", 64),
    "ISATAP": ("2a00:1450::5efe:0:0", 0),
    "ISATAP, a global one": ("2a00:1450::200:5efe:0:0", 0),
}
"""IPv6 addresses that are carried on to an IPv4 address, and how far from the right end it stands in them."""


def within(form, inner):
    """``inner`` embedded in an IPv6 address of that form."""
    base, place = BASES[form]
    return ipaddress.IPv6Address(int(ipaddress.IPv6Address(base)) | int(ipaddress.IPv4Address(inner)) << place)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_address_is_refused_whatever_is_allowed(address):
    rules = Rules(networks=("0.0.0.0/0", "::/0"))
    assert not address_rules.is_callable(ipaddress.ip_address(address), rules)


@pytest.mark.parametrize("form", BASES)
def test_embedded_metadata_address_is_refused_whatever_is_allowed(form):
    rules = Rules(networks=("0.0.0.0/0", "::/0"))
    assert not address_rules.is_callable(within(form, "169.254.169.254"), rules)
    assert address_rules.is_callable(within(form, "8.8.8.8"), rules)


@pytest.mark.parametrize(
    "address",
    [
        "2001:0:808:808:0:0:5601:5601",  # Teredo client of 169.254.169.254
        "64:ff9b:1:a9fe:a9:fe00::",  # translated with a prefix of 48 bits
        "64:ff9b:1:a9:fe:a9fe::",  # 56
        "64:ff9b:1:0:a9:fea9:fe00::",  # 64
    ],
)
def test_other_embedded_metadata_address_is_refused(address):
    assert not address_rules.is_callable(ipaddress.ip_address(address), Rules(networks=("0.0.0.0/0", "::/0")))


@pytest.mark.parametrize("form", [form for form in BASES if form != "mapped"])
def test_embedded_private_address_needs_its_own_network(form):
    rules = Rules(networks=("::/0",))
    for inner in ("127.0.0.1", "10.0.0.1", "192.168.1.1"):
        assert not address_rules.is_callable(within(form, inner), rules)
    assert address_rules.is_callable(within(form, "8.8.8.8"), rules)
    assert address_rules.is_callable(within(form, "10.1.2.3"), Rules(networks=("::/0", "10.1.0.0/16")))


def test_error_does_not_reveal_the_reason():
    with pytest.raises(AddressRefused) as refused:
        address_rules.check("http://10.0.0.1/", Rules())
    assert "10.0.0.1" not in f"{refused.value} {refused.value.details}"


@given(st.text(max_size=60))
def test_fuzzed_host_is_accepted_or_refused(text):
    try:
        address_rules.check(f"http://{text}/", Rules())
    except AddressRefused:
        return


@given(st.ip_addresses(v=4))
def test_all_spellings_of_an_ipv4_address_have_the_same_verdict(address):
    number = int(address)
    spellings = [str(address), str(number), hex(number), ".".join(f"0{part:o}" for part in address.packed)]
    verdicts = set()
    for spelling in spellings:
        try:
            address_rules.check(f"http://{spelling}/", Rules())
            verdicts.add(True)
        except AddressRefused:
            verdicts.add(False)
    assert verdicts == {address_rules.is_callable(address, Rules())}
