"""Runs the call at once, in the process that submitted it: for tests and for trying things out."""

from __future__ import annotations

from django.utils.module_loading import import_string

from .base import ENTRY_POINTS, Executor


class Inline(Executor):
    """No queue: the 202 leaves when the task is already finished."""

    needs_worker = False

    def send(self, id: str, job: str = "run") -> None:
        import_string(ENTRY_POINTS[job])(id)
