"""Users, and calls made twice: immediately and deferred."""

from __future__ import annotations

import os

import pytest

if os.environ.get("DJANGO_SETTINGS_MODULE") == "tests.interop.settings":
    pytest.register_assert_rewrite("tests.interop.calls")
    from .calls import anna, client, otto, static_files  # noqa: F401  (fixtures)
else:  # most of the apps are not installed
    collect_ignore_glob = ["test_*.py"]
