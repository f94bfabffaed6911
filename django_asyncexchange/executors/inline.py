"""The executor that runs calls at once, in the process that accepts them: for tests and first steps."""

from __future__ import annotations

from django.utils.module_loading import import_string

from .base import ENTRY_POINTS, Executor


class Inline(Executor):
    """No queue: the task is finished before its 202 is sent."""

    needs_worker = False

    def send(self, id: str, job: str = "run") -> None:
        import_string(ENTRY_POINTS[job])(id)
