"""django-q2: its brokers, what guards its clusters, and what keeps them alive."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``DjangoQ``, when somebody asks for it: without django-q2 among INSTALLED_APPS its models cannot be imported."""
    if name == "DjangoQ":
        return import_module(f"{__name__}.executor").DjangoQ
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
