"""Tracebacks of failed runs, for administrators.

They contain no values of variables. What looks like a credential in a message is masked, by Django's list and ours.
They are encrypted like the rest of the call, and deleted with the result.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from django.core.signals import got_request_exception
from django.dispatch import receiver

from .. import encryption
from ..redaction import MASK, is_secret, masked_url
from ..run_context import run_of
from ..store.bodies import Draft

FAILURE = "_asyncexchange_failure"
"""Attribute of a run's request: what its view has raised."""
MAX_LENGTH = 16 * 1024
"""Maximum length of a stored text, half of it from the end; and of each message before masking. In characters."""
ELLIPSIS = "\n…\n"
PAIR = re.compile(r"""(['"])([^'"\s]{1,100})\1(\s*[:=]\s*)(['"])((?:[^'"\\]|\\.)*)\4""")
"""A key and value of a dictionary or of JSON."""
WORD = re.compile(r"\S+")


def format_error(error: BaseException) -> str:
    """Format the traceback of ``error`` and its causes as Python prints it, credentials masked."""
    parts = traceback.TracebackException.from_exception(error, compact=True).format()
    return _truncated("".join(_masked_lines(parts)))


def draft(text: str) -> Draft:
    """Encrypt ``text`` as a body that is stored in the database."""
    data = _truncated(text).encode("utf-8", "backslashreplace")
    return Draft(content=b"".join(encryption.sealed([data])), size=len(data), is_sealed=True)


def _masked_lines(parts: Iterator[str]) -> Iterator[str]:
    """Yield source lines unchanged, and messages with credentials masked."""
    for part in parts:
        yield part if part.lstrip(" |+-").startswith('File "') else _masked(_truncated(part))


def _masked(text: str) -> str:
    text = PAIR.sub(_member, text)
    return WORD.sub(lambda found: masked_url(found[0]), text)


def _member(found: re.Match[str]) -> str:
    quote, name, between, other, value = found.groups()
    return f"{quote}{name}{quote}{between}{other}{MASK if value and is_secret(name) else value}{other}"


def _truncated(text: str) -> str:
    half = MAX_LENGTH // 2
    return text if len(text) <= MAX_LENGTH else f"{text[:half]}{ELLIPSIS}{text[-half:]}"


@receiver(got_request_exception, dispatch_uid="django_asyncexchange.tasks.failures")
def record_exception(sender: Any, request: Any = None, **kwargs: Any) -> None:
    """Remember the exception of a run for which Django responds with 500."""
    error = sys.exc_info()[1]
    if error is not None and run_of(request) is not None:
        setattr(request, FAILURE, format_error(error))


def recorded(request: Any) -> str:
    """The exception that was recorded for ``request``; ``""`` if there was none."""
    text: str = getattr(request, FAILURE, "")
    return text
