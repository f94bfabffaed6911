"""A project for each executor, set up as the page about executors says: its workers run a call."""

from __future__ import annotations

import contextlib
import re

import pytest

from ..faults.servers import redis_server
from .reader import more, shown

pytestmark = [pytest.mark.full, pytest.mark.slow, pytest.mark.xdist_group("first-hour")]

CELERY = """
from celery import Celery

app = Celery("myproject")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
"""``myproject/celery.py``, as the first page of Celery's documentation for Django says."""
CALL = """
from django.test import Client

client = Client(SERVER_NAME="127.0.0.1", headers={"Authorization": "Bearer token"})
headers = {"Prefer": "respond-async, wait=30", "Idempotency-Key": "1"}
answer = client.get("/reports/stock", headers=headers)
assert "respond-async" in answer.headers["Preference-Applied"]
while answer.status_code == 202:
    answer = client.get("/reports/stock", headers=headers)
print(answer.json())
"""


@pytest.mark.service
@pytest.mark.parametrize(
    ("extra", "settings", "command"),
    [
        ("redis", "redis=", "python manage.py asyncexchange_worker"),
        ("celery", "executors.celery.Celery", "celery -A myproject worker"),
        ("tasks", "executors.django_tasks.DjangoTasks", "python manage.py db_worker"),
    ],
)
def test_workers_of_an_executor_run_a_call(reader, tmp_path, extra, settings, command):
    text = more(shown("executors", settings))
    broker = redis_server() if "redis://" in text else contextlib.nullcontext()
    with broker as server, reader.beside(tmp_path / "project") as other:
        other.enter(shown("executors", f"[{extra}]").strip())
        project = other.home / "myproject"
        with (project / "settings.py").open("a", encoding="utf-8") as file:
            file.write(re.sub(r"redis://[^']+", server.url if server else "", text))
        if extra == "celery":
            (project / "celery.py").write_text(CELERY, encoding="utf-8")
            (project / "__init__.py").write_text("from .celery import app\n", encoding="utf-8")
        if extra == "tasks":
            other.enter("python manage.py migrate --verbosity 0")
        line = shown("deployment" if extra == "redis" else "executors", command).strip()
        other.start(line, "worker")
        assert other.python(CALL).splitlines()[-1] == "{'user': 'anna'}"
