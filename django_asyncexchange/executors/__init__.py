"""What runs the worker's function: django-q2, Celery, Django Tasks, or this process."""

from __future__ import annotations

from .base import ENTRY_POINTS as ENTRY_POINTS
from .base import Executor as Executor
from .base import load as load
from .base import perform as perform
from .base import waiting as waiting
