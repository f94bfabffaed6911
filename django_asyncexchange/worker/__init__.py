"""The worker: it performs captured calls through Django's own handler."""

from __future__ import annotations

from .runner import run as run
from .runner import run_ready as run_ready
