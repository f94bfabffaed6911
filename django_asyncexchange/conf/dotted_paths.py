"""Dotted paths in the settings: imported when they are checked, so that a mistake shows before they are needed."""

from __future__ import annotations

import inspect
import re
from typing import Any

from django.apps import apps
from django.utils.module_loading import import_string

from ..dialects.base import Dialect
from ..protocol.validators import Mistake, shown
from ..protocol.values import value

EXECUTOR = "django_asyncexchange.executors.base.Executor"
UNINSTALLED = re.compile(r"Model class ([\w.]+)\.models\.")


def imported(path: Any, what: str) -> Any:
    """What ``path`` names. Raises Mistake."""
    if not isinstance(path, str):
        raise Mistake(f"{shown(path)} is no dotted path.", f"Write the dotted path of {what} as a text.")
    try:
        return import_string(path)
    except Exception as error:
        app = UNINSTALLED.search(str(error))
        cure = f"Write the dotted path of {what}, like 'myproject.module.name'."
        raise Mistake(
            f"{path!r} cannot be imported: {type(error).__name__}: {error}",
            f"Add {app[1]!r} to INSTALLED_APPS." if app else cure,
        ) from error


@value
class Function:
    """The dotted path of a function that is called with ``parameters``."""

    parameters: tuple[str, ...]
    may_be_empty: bool = False

    @property
    def text(self) -> str:
        empty = ", or nothing" if self.may_be_empty else ""
        return f"dotted path of a function of ``({', '.join(self.parameters)})``{empty}"

    def __call__(self, given: Any) -> str:
        if given == "" and self.may_be_empty:
            return ""
        words = ", ".join(self.parameters)
        found = imported(given, f"a function of ({words})")
        if not callable(found):
            raise Mistake(f"{given!r} is {shown(found)}, which cannot be called.", f"Name a function of ({words}).")
        if inspect.iscoroutinefunction(found):
            raise Mistake(f"{given!r} is an async function.", "Name one without async; asgiref has async_to_sync().")
        if not _takes(found, *self.parameters):
            raise Mistake(f"{given!r} does not take ({words}).", f"Let it take {len(self.parameters)}: ({words}).")
        return str(given)


def _takes(function: Any, *arguments: Any) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True


@value
class Executor:
    """The dotted path of a class of the kind of ``executors.Executor``."""

    text: str = "dotted path of a class"

    def __call__(self, given: Any) -> str:
        found = imported(given, "an executor's class")
        bases = {f"{base.__module__}.{base.__qualname__}" for base in getattr(found, "__mro__", ())}
        if EXECUTOR not in bases or not _takes(found):
            wrong = "cannot be made without arguments" if EXECUTOR in bases else "is no subclass of Executor"
            raise Mistake(
                f"{given!r} {wrong}.",
                "Name a subclass of django_asyncexchange.executors.Executor that is made without arguments.",
            )
        if found.requires_app and not apps.is_installed(found.requires_app):
            raise Mistake(
                f"{given!r} needs the app {found.requires_app!r}, which is not in INSTALLED_APPS.",
                f"Add {found.requires_app!r} to INSTALLED_APPS, or name another EXECUTOR: docs/howto/executors.rst has "
                "them all.",
            )
        return str(given)


@value
class AuthenticationClass:
    """The dotted path of one of REST framework's authentication classes."""

    text: str = "dotted path of a class"

    def __call__(self, given: Any) -> str:
        found = imported(given, "an authentication class of REST framework")
        if not (isinstance(found, type) and callable(getattr(found, "authenticate", None)) and _takes(found)):
            raise Mistake(
                f"{given!r} is no authentication class, or needs arguments.",
                "Name a subclass of rest_framework.authentication.BaseAuthentication, made without arguments.",
            )
        return str(given)


def dialect_class(given: Any) -> type[Dialect]:
    """The dialect's class that an entry of ``DIALECTS`` names. Raises Mistake."""
    found = imported(given, "a subclass of django_asyncexchange.dialects.base.Dialect")
    if not (isinstance(found, type) and issubclass(found, Dialect)) or inspect.isabstract(found):
        raise Mistake(
            f"{given!r} is no complete dialect.",
            "Name a subclass of django_asyncexchange.dialects.base.Dialect that has all of its methods.",
        )
    return found
