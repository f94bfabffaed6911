"""System checks: what is wrong with the settings, and what to do. Each id is used once."""

from __future__ import annotations

from . import databases, executor, project, storage, webhooks  # noqa: F401  (importing them registers their checks)
from .registry import CheckId

__all__ = ["CheckId"]
