"""Settings of the example project for tools that send thousands of requests."""

from __future__ import annotations

from project.settings import *  # noqa: F403
from project.settings import REST_FRAMEWORK

DEBUG = False  # keeps no list of all queries

REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {"campaigns": "1000000/minute"}
