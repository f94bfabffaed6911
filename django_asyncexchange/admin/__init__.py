"""Tasks in Django's admin: to look at, to cancel, to run again, to prune. Nothing stored can be typed over."""

from __future__ import annotations

from .tasks import AsyncTaskAdmin

__all__ = ["AsyncTaskAdmin"]
