"""Masks credentials in URLs, headers and form fields that are shown to people, by one list of names.

For display only. The captured request itself is stored encrypted, in full, and never changed.
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
"""Names of headers, query parameters and fields that carry credentials, in addition to those that Django hides."""
PARAMETER = re.compile(r"(?<![^?&;])([^=&;?#]+)=([^&;#]*)")
USERINFO = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")
MAX_DECODES = 3
"""How many times a URL within a URL may be percent-encoded."""


def is_secret(name: str) -> bool:
    """Whether a header, parameter or field called ``name`` may be a credential. ``name`` may be percent-encoded."""
    plain = unquote_plus(name).lower().replace("_", "-")
    return _is_secret(plain, tuple(conf.SECRET_NAMES), get_default_exception_reporter_filter())


@functools.lru_cache(maxsize=4096)
def _is_secret(name: str, listed: tuple[str, ...], django: Any) -> bool:
    if any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in listed) or CREDENTIAL.search(name):
        return True
    hidden: Any = getattr(django, "hidden_settings", None)  # a project's own filter may not have it
    return bool(hidden and hidden.search(name))


def masked(name: str, text: str) -> str:
    """``text``, or ``***`` if ``name`` may be a credential. URLs in ``text`` are masked too."""
    return MASK if text and is_secret(name) else masked_url(text)


def masked_url(url: str) -> str:
    """``url`` with its userinfo and the secrets of its query masked; everything else is unchanged."""
    return PARAMETER.sub(_masked_parameter, USERINFO.sub(MASK, url))


def _masked_parameter(found: re.Match[str]) -> str:
    name, text = found.groups()
    if text and (is_secret(name) or _contains_secret(text)):
        return f"{name}={MASK}"
    return found[0]


def _contains_secret(text: str) -> bool:
    """Whether ``text`` is a URL with a secret in its query."""
    for _ in range(MAX_DECODES):
        text = unquote_plus(text)
    _, _, query = text.partition("?")
    return "=" in query and any(found[2] and is_secret(found[1]) for found in PARAMETER.finditer(query))
