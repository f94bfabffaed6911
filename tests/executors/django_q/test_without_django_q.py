"""A project that runs its calls otherwise needs no django-q2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, pkgutil, sys

sys.modules["django_q"] = None  # an import raises ImportError
sys.modules["tests.without_django_q"] = settings = type(sys)("tests.without_django_q")
from tests import settings as tests
vars(settings).update({name: value for name, value in vars(tests).items() if name.isupper()})
settings.INSTALLED_APPS = [app for app in tests.INSTALLED_APPS if app != "django_q"]

import django
django.setup()
import django_asyncexchange
from django.core.management import call_command
from django_asyncexchange.executors.django_q import DjangoQ

call_command("check")
broken = set()
for found in pkgutil.walk_packages(django_asyncexchange.__path__, "django_asyncexchange."):
    try:
        importlib.import_module(found.name)
    except ImportError as error:
        assert "django_q" in str(error), error
        broken.add(found.name.removeprefix("django_asyncexchange.executors."))
print(*sorted(broken))
"""


def test_everything_but_what_runs_within_django_q2_is_imported_without_it():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=Path(__file__).parents[3],
        env={"DJANGO_SETTINGS_MODULE": "tests.without_django_q", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == [
        "django_q.guard",
        "django_q.orm_broker",
        "django_q.redis_broker",
        "django_q.wake_ups",
        "django_q_broker",
        "django_q_redis",
    ]
