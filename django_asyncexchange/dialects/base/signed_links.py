"""Signed links to results, which need no credentials. Their query has the parameters of OpenStack Swift's TempURL."""

from __future__ import annotations

from collections.abc import Mapping

from ...exceptions import LinkInvalid
from ...protocol.signer import Signer
from ...protocol.values import Headers, Snapshot
from .tables import Parameter

FILE_HEADERS: Headers = (
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
)
"""A view's content at a public URL: browsers must not run or cache it, nor send the URL on as a referrer."""

PARAMETERS = (
    Parameter(name="temp_url_sig", description="The signature of the link.", schema={"type": "string"}),
    Parameter(
        name="temp_url_expires",
        description="The end of the link's lifetime, in Unix seconds.",
        schema={"type": "string"},
    ),
)


def query_of(task: Snapshot, expires: int, signer: Signer) -> str:
    """The query string of a link to ``task`` that expires at ``expires``, in Unix seconds."""
    return f"temp_url_sig={signer.sign(_claim(task, str(expires)))}&temp_url_expires={expires}"


def expiry_of(task: Snapshot, query: Mapping[str, str], signer: Signer) -> int:
    """When the link to ``task`` with the parameters ``query`` expires, in Unix seconds.

    Raises LinkInvalid where the signature is not ours.
    """
    expires = query.get("temp_url_expires", "")
    is_number = expires.isascii() and expires.isdigit()
    if not (is_number and signer.verify(_claim(task, expires), query.get("temp_url_sig", ""))):
        raise LinkInvalid()
    return int(expires)


def _claim(task: Snapshot, expires: str) -> str:
    """The signed text; it includes the attempt, so that a link never leads to a later result."""
    return f"{task.id}:{task.attempt}:{expires}"
