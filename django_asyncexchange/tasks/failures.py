"""Why a call failed, for whoever looks after the project: what was raised, its message, and where.

No values of variables are kept, so there is nothing of them to hide; what looks like a credential in a message is
masked, by the list that includes Django's own. It is sealed as the rest of the call is, and goes with its answer.
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
"""Attribute of the request of a run: what its view has raised."""
LONGEST = 16 * 1024
"""Characters that are kept of a text, half of them of its end; and of each message, before it is looked through."""
GAP = "\n…\n"
PAIR = re.compile(r"""(['"])([^'"\s]{1,100})\1(\s*[:=]\s*)(['"])((?:[^'"\\]|\\.)*)\4""")
"""A member of a dictionary or of JSON."""
WORD = re.compile(r"\S+")


def described(error: BaseException) -> str:
    """The traceback of ``error`` and of what caused it, as Python prints it."""
    parts = traceback.TracebackException.from_exception(error, compact=True).format()
    return _cut("".join(_shown(parts)))


def draft(text: str) -> Draft:
    """``text`` to be kept with a task, in the database."""
    data = _cut(text).encode("utf-8", "backslashreplace")
    return Draft(content=b"".join(encryption.sealed([data])), size=len(data), is_sealed=True)


def _shown(parts: Iterator[str]) -> Iterator[str]:
    """Lines of the project's source as they are, messages without credentials."""
    for part in parts:
        yield part if part.lstrip(" |+-").startswith('File "') else _masked(_cut(part))


def _masked(text: str) -> str:
    text = PAIR.sub(_member, text)
    return WORD.sub(lambda found: masked_url(found[0]), text)


def _member(found: re.Match[str]) -> str:
    quote, name, between, other, value = found.groups()
    return f"{quote}{name}{quote}{between}{other}{MASK if value and is_secret(name) else value}{other}"


def _cut(text: str) -> str:
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]}{GAP}{text[-half:]}"


@receiver(got_request_exception, dispatch_uid="django_asyncexchange.tasks.failures")
def note(sender: Any, request: Any = None, **kwargs: Any) -> None:
    """Keep what the view of a run has raised: Django turns it into a 500."""
    error = sys.exc_info()[1]
    if error is not None and run_of(request) is not None:
        setattr(request, FAILURE, described(error))


def of(request: Any) -> str:
    """What the view of ``request``, a run, has raised; ``""`` for nothing."""
    text: str = getattr(request, FAILURE, "")
    return text
