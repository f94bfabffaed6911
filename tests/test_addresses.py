from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange import addresses
from django_asyncexchange.addresses import Rules
from django_asyncexchange.exceptions import AddressRefused

from . import hostile

ANY_PORT = Rules(ports=tuple(range(1, 65536)))


@pytest.mark.parametrize("url", hostile.LOOKS)
def test_an_address_that_looks_hostile_is_refused(url):
    with pytest.raises(AddressRefused):
        addresses.check(url, ANY_PORT)


@pytest.mark.parametrize("url", hostile.PUBLIC)
def test_a_public_address_is_accepted(url):
    addresses.check(url, Rules())


@pytest.mark.parametrize("url", [f"http://{name}/" for name in hostile.NAMES])
def test_a_name_says_nothing_before_it_is_looked_up(url):
    addresses.check(url, Rules())


@pytest.mark.parametrize("url", [*hostile.PORTS, "http://public.example:0/", "http://public.example:99999/"])
def test_a_port_that_is_not_listed_is_refused(url):
    with pytest.raises(AddressRefused):
        addresses.check(url, Rules())


@pytest.mark.parametrize(
    "url",
    ["", "public.example", "//public.example/", "http://", "https://:443/", f"http://public.example/{'x' * 2048}"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(AddressRefused):
        addresses.check(url, Rules())


def test_plain_http_is_refused_where_https_is_required():
    rules = Rules(https_only=True)
    addresses.check("https://public.example/", rules)
    with pytest.raises(AddressRefused):
        addresses.check("http://public.example/", rules)


def test_a_name_beyond_ascii_is_accepted():
    addresses.check("https://пример.рф/путь", Rules())


def test_a_network_that_is_allowed_may_be_called():
    rules = Rules(networks=("127.0.0.0/8", "10.1.0.0/16"))
    addresses.check("http://127.0.0.1/", rules)
    addresses.check("http://10.1.2.3/", rules)
    with pytest.raises(AddressRefused):
        addresses.check("http://10.2.0.1/", rules)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"]
)
def test_metadata_is_never_called_whatever_is_allowed(address):
    rules = Rules(networks=("0.0.0.0/0", "::/0"))
    assert not addresses.is_callable(ipaddress.ip_address(address), rules)


def test_the_error_does_not_say_why():
    with pytest.raises(AddressRefused) as refused:
        addresses.check("http://10.0.0.1/", Rules())
    assert "10.0.0.1" not in f"{refused.value} {refused.value.details}"


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused(text):
    try:
        addresses.check(f"http://{text}/", Rules())
    except AddressRefused:
        return


@given(st.ip_addresses(v=4))
def test_every_spelling_of_an_ipv4_address_is_judged_alike(address):
    number = int(address)
    spellings = [str(address), str(number), hex(number), ".".join(f"0{part:o}" for part in address.packed)]
    verdicts = set()
    for spelling in spellings:
        try:
            addresses.check(f"http://{spelling}/", Rules())
            verdicts.add(True)
        except AddressRefused:
            verdicts.add(False)
    assert verdicts == {addresses.is_callable(address, Rules())}
