"""URLs that a webhook must not reach, and some that it may."""

from __future__ import annotations

LOOPBACK = [
    "http://127.0.0.1/",
    "http://127.254.1.2/",
    "http://localhost/",
    "http://localhost./",
    "http://127.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1:6379/",
    "http://app.localhost/",
]
TRICKS = [
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://１２７.0.0.1/",
    "http://[127.0.0.1]/",
    "http://127.0.0.1\t/",
    "http://a%00.example/",
    "http://[fe80::1%25eth0]/",
    "http://a\\@127.0.0.1/",
    "http://127.0.0.1./",
    "file:///etc/passwd",
    "gopher://127.0.0.1/_",
    "http:///nobody",
]
IPV6 = [
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[fe80::1]/",
    "http://[fd12:3456::1]/",
    "http://[ff02::1]/",
    "http://[fd00:ec2::254]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fec0::1]/",
    "http://[5f00::1]/",
]
RANGES = [
    "http://10.0.0.1/",
    "http://172.31.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://100.100.100.200/",
    "http://100.64.0.1/",
    "http://192.0.0.192/",
    "http://168.63.129.16/",
    "http://192.88.99.1/",
]
SYNTAX = [
    "http://a@127.0.0.1/",
    "http://127.0.0.1#@public.example/",
    "http://public.example /@127.0.0.1/",
    "http://%31%32%37.0.0.1/",
]
LOOKS = [*LOOPBACK, *TRICKS, *IPV6, *RANGES, *SYNTAX]
"""Refused by their look alone."""

PUBLIC_ADDRESS = "203.0.114.1"

NAMES = {
    "private.example": ["10.0.0.1"],
    "zero.example": ["0.0.0.0"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "private-first.example": ["127.0.0.1", PUBLIC_ADDRESS],
}
"""Refused only when they are looked up."""
MIXED = "http://public-first.example/"
"""Its name leads to two addresses, and only the first of them may be called."""
REBINDING = "http://rebinding.example/"
"""Its name leads elsewhere every time it is looked up."""
REDIRECTS = {"http://redirects.example/inside": "http://127.0.0.1/", "http://redirects.example/metadata": RANGES[3]}
"""A public address that sends whoever calls it on."""

PORTS = ["http://public.example:22/", "http://public.example:25/", "http://public.example:6379/"]

PUBLIC = {
    "http://203.0.114.1/": PUBLIC_ADDRESS,
    "http://public.example/": PUBLIC_ADDRESS,
    "http://[2a00:1450::1]/": "2a00:1450::1",
    "http://[::ffff:8.8.8.8]/": "8.8.8.8",
    "https://public.example:8443/": PUBLIC_ADDRESS,
}
"""Controls: address → where its socket goes."""

UNKNOWN = [*(f"http://{name}/" for name in NAMES), MIXED, REBINDING, *REDIRECTS]
"""Those that look harmless."""
TABLE = [*LOOKS, *UNKNOWN]
"""All that must not lead to a forbidden address."""
