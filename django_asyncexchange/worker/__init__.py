"""The worker: it performs captured calls through Django's own handler."""

from __future__ import annotations

from .runner import run as run
