"""System checks: every misconfiguration by name, with its cure. One function per subject; an id is used once."""

from __future__ import annotations

from . import databases, executor, project, storage, webhooks  # noqa: F401  (importing them registers their checks)
from .registry import CheckId

__all__ = ["CheckId"]
