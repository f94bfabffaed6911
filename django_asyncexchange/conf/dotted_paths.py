"""Validators of dotted paths in the settings. They import the object, so that a mistake shows up at startup."""

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
    """Import what ``path`` names. Raises Mistake."""
    if not isinstance(path, str):
        raise Mistake(f"{shown(path)} is not a dotted path.", f"Write the dotted path of {what} as a string.")
    try:
        return import_string(path)
    except Exception as error:
        app = UNINSTALLED.search(str(error))
        hint = f"Write the dotted path of {what}, like 'myproject.module.name'."
        raise Mistake(
            f"{path!r} cannot be imported: {type(error).__name__}: {error}",
            f"Add {app[1]!r} to INSTALLED_APPS." if app else hint,
        ) from error


@value
class Function:
    """Dotted path of a function that takes ``parameters``."""

    parameters: tuple[str, ...]
    may_be_empty: bool = False

    @property
    def text(self) -> str:
        empty = ", or empty" if self.may_be_empty else ""
        return f"dotted path of a function that takes ``({', '.join(self.parameters)})``{empty}"

    def __call__(self, given: Any) -> str:
        if given == "" and self.may_be_empty:
            return ""
        arguments = ", ".join(self.parameters)
        found = imported(given, f"a function that takes ({arguments})")
        if not callable(found):
            raise Mistake(f"{given!r} is {shown(found)}, not a function.", f"Name a function that takes ({arguments}).")
        if inspect.iscoroutinefunction(found):
            raise Mistake(f"{given!r} is an async function.", "Name a synchronous one; see asgiref.sync.async_to_sync.")
        if not _takes(found, *self.parameters):
            raise Mistake(f"{given!r} does not take ({arguments}).", f"Its parameters have to be ({arguments}).")
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
    """Dotted path of a subclass of ``executors.Executor``."""

    text: str = "dotted path of a class"

    def __call__(self, given: Any) -> str:
        found = imported(given, "an executor class")
        bases = {f"{base.__module__}.{base.__qualname__}" for base in getattr(found, "__mro__", ())}
        if EXECUTOR not in bases or not _takes(found):
            wrong = "needs arguments to be instantiated" if EXECUTOR in bases else "is not a subclass of Executor"
            raise Mistake(
                f"{given!r} {wrong}.",
                "Name a subclass of django_asyncexchange.executors.Executor that needs no arguments.",
            )
        if found.requires_app and not apps.is_installed(found.requires_app):
            raise Mistake(
                f"{given!r} needs the app {found.requires_app!r}, which is not in INSTALLED_APPS.",
                f"Add {found.requires_app!r} to INSTALLED_APPS, or set another EXECUTOR; docs/howto/executors.rst "
                "lists them.",
            )
        return str(given)


@value
class AuthenticationClass:
    """Dotted path of an authentication class of Django REST framework."""

    text: str = "dotted path of a class"

    def __call__(self, given: Any) -> str:
        found = imported(given, "an authentication class of REST framework")
        if not (isinstance(found, type) and callable(getattr(found, "authenticate", None)) and _takes(found)):
            raise Mistake(
                f"{given!r} is not an authentication class, or needs arguments.",
                "Name a subclass of rest_framework.authentication.BaseAuthentication that needs no arguments.",
            )
        return str(given)


def dialect_class(given: Any) -> type[Dialect]:
    """Import the dialect class that an entry of ``DIALECTS`` names. Raises Mistake."""
    found = imported(given, "a subclass of django_asyncexchange.dialects.base.Dialect")
    if not (isinstance(found, type) and issubclass(found, Dialect)) or inspect.isabstract(found):
        raise Mistake(
            f"{given!r} is not a dialect, or is abstract.",
            "Name a subclass of django_asyncexchange.dialects.base.Dialect that implements all abstract methods.",
        )
    return found
