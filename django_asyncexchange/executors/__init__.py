"""Executors send the id of a task to a worker: by django-q2, Celery or Django Tasks, or inline in this process."""

from __future__ import annotations

from .base import ENTRY_POINTS as ENTRY_POINTS
from .base import Executor as Executor
from .base import connect as connect
from .base import load as load
from .base import perform as perform
from .base import setting_problems as setting_problems
from .base import waiting as waiting
