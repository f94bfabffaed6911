from __future__ import annotations

import traceback
from typing import Any, ClassVar

from django.db import OperationalError
from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    asked: ClassVar[list[str]] = []
    """From where."""

    def ensure_connection(self) -> Any:
        self.asked.append("".join(traceback.format_stack(limit=12)))
        raise OperationalError("this replica is asked for nothing")
