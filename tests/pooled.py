"""A web process and a worker behind PgBouncer, for test_pgbouncer.py: print what a waiting client gets, as JSON.

DATABASE_URL=postgres://… python -m tests.pooled
"""

from __future__ import annotations

import json
import os
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from django_asyncexchange.models import AsyncTask  # noqa: E402
from django_asyncexchange.worker import runner  # noqa: E402

from .services import IDLE, exchange, until  # noqa: E402


def run_what_comes(waits: threading.Event) -> None:
    """A worker in a thread: as soon as a client waits for a task, it runs it."""
    try:
        task = until(AsyncTask.objects.first)
        waits.wait()
        runner.run(str(task.pk))
    finally:
        connections.close_all()


def main() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    client, waits = Client(), threading.Event()
    client.force_login(User.objects.create(username="anna"))

    def looked(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        done = execute(sql, params, many, context)
        if "asyncexchange_asynctask" in sql and sql.startswith("SELECT"):
            waits.set()
        return done

    thread = threading.Thread(target=run_what_comes, args=[waits])
    thread.start()
    with CaptureQueriesContext(connection) as queries, connection.execute_wrapper(looked):
        response = client.post("/answers/201/", headers={"Prefer": "respond-async, wait=3000"})
    thread.join()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_listening_channels()")
        [listening] = cursor.fetchone()
    listens = [query["sql"] for query in queries if "LISTEN" in query["sql"]]
    told = {"status": response.status_code, "applied": response.get("Preference-Applied"), "listens": listens}
    print(json.dumps({**told, "listening": listening}))


if __name__ == "__main__":
    with override_settings(
        ROOT_URLCONF="tests.services", ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, MAX_WAIT_SECONDS=3000)
    ):
        main()
