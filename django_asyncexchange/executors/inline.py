"""Runs the call at once, in the process that submitted it: for tests and for trying things out."""

from __future__ import annotations

from django.utils.module_loading import import_string

from . import ENTRY_POINT


class Inline:
    """No queue: the 202 leaves when the task is already finished."""

    def send(self, task_id: str) -> None:
        import_string(ENTRY_POINT)(task_id)

    def is_transactional(self, alias: str) -> bool:
        return False
