"""What people are shown of a call: addresses, headers and fields without credentials, by one list of names.

Only what is shown passes here. What is run is stored sealed, whole, and never changed.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import Any
from urllib.parse import unquote_plus

from django.views.debug import get_default_exception_reporter_filter

from .conf import conf

MASK = "***"
CREDENTIAL = re.compile(
    r"""
    token | secret | pass(?:w|$|[-.]|phrase|code) | pwd | credential | auth | sess(?:ion|$|id) | cookie | csrf | xsrf
    | api-?key | signature | saml | assertion | jwt | dpop | bearer
    | (?:^|[-.\[]) (?: key | sig | sign | hmac | code | ticket | t?otp | pin | sid ) (?:$|[-.\]])
    """,
    re.VERBOSE,
)
"""Names of headers, query parameters and fields that carry credentials, besides those that Django hides by itself."""
PARAMETER = re.compile(r"(?<![^?&;])([^=&;?#]+)=([^&;#]*)")
USERINFO = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")
ENCODED = 3
"""So many times over may an address within an address be percent-encoded."""


def is_secret(name: str) -> bool:
    """Whether what is called ``name``, percent-encoded or not, may be a credential."""
    plain = unquote_plus(name).lower().replace("_", "-")
    return _is_secret(plain, tuple(conf.SECRET_NAMES), get_default_exception_reporter_filter())


@functools.lru_cache(maxsize=4096)
def _is_secret(name: str, listed: tuple[str, ...], django: Any) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in listed) or CREDENTIAL.search(name):
        return True
    hidden: Any = getattr(django, "hidden_settings", None)  # a project's own filter need not have such a list
    return bool(hidden and hidden.search(name))


def masked(name: str, text: str) -> str:
    """``text``, unless what has this name may be a credential. Addresses in it lose theirs."""
    return MASK if text and is_secret(name) else masked_url(text)


def masked_url(url: str) -> str:
    """``url`` without the password before its host and the secrets of its query; everything else to the letter."""
    return PARAMETER.sub(_shown, USERINFO.sub(MASK, url))


def _shown(found: re.Match[str]) -> str:
    name, text = found.groups()
    if text and (is_secret(name) or _brings_a_secret(text)):
        return f"{name}={MASK}"
    return found[0]


def _brings_a_secret(text: str) -> bool:
    """Whether ``text`` is an address with a secret in its query."""
    for _ in range(ENCODED):
        text = unquote_plus(text)
    _, _, query = text.partition("?")
    return "=" in query and any(found[2] and is_secret(found[1]) for found in PARAMETER.finditer(query))
