"""Settings: their types, their values, the mounts made of them. Nobody else reads Django's settings."""

from __future__ import annotations

from .settings import Conf as Conf
from .settings import conf as conf
