"""Settings: keys, validation, mounts. No other module reads ``django.conf.settings``."""

from __future__ import annotations

from .settings import Conf as Conf
from .settings import conf as conf
