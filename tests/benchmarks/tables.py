"""Tables of any size in PostgreSQL, and the choice between two databases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connections

from django_asyncexchange.models import AsyncTask

TASKS = AsyncTask._meta.db_table
FINAL = f"""
INSERT INTO {TASKS} (id, dialect, state, reason, attempt, owner_id, account, owner_kind, owner_reference, auth_backend,
    auth_reference, method, url, base, request, is_repeatable, status_code, reason_phrase, response_headers,
    callback_url, callback_method, muted, fingerprint, progress_message, worker, created, sent, started, finished,
    deletion_date, purge_date)
SELECT gen_random_uuid(), 'prefer', CASE WHEN n / %(accounts)s %% 10 = 0 THEN 'API_ERROR' ELSE 'DONE' END, '', 1,
    1 + n %% %(accounts)s, (1 + n %% %(accounts)s)::text, '', (1 + n %% %(accounts)s)::text,
    'django.contrib.auth.backends.ModelBackend', '', 'GET',
    'http://127.0.0.1:8000/' || (ARRAY['works', 'stock', 'profit'])[1 + n / %(accounts)s %% 3] || '/?page=' || n,
    'http://127.0.0.1:8000/async', '{{}}', true, CASE WHEN n / %(accounts)s %% 10 = 0 THEN 400 ELSE 200 END, 'OK',
    '[["Content-Type", "application/json"]]', '', '', '[]', '', '', 'a worker', made, made, made,
    made + interval '1 second', made + interval '7 days', made + interval '7 days'
FROM (SELECT n, now() - interval '6 days' * (1 - n::float / %(rows)s) AS made FROM generate_series(1, %(rows)s) n) rows
"""
"""Finished tasks of the last six days; those of an account are spread over all of them."""
USERS = """
INSERT INTO auth_user (id, username, password, is_superuser, is_staff, is_active, first_name, last_name, email,
    date_joined)
SELECT n, 'user ' || n, '', false, false, true, '', '', '', now() FROM generate_series(1, %s) n
"""
TOKENS = "INSERT INTO authtoken_token (key, created, user_id) SELECT 'token-' || id, now(), id FROM auth_user"

_alias = ["default"]


class Router:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return _alias[0]

    db_for_write = db_for_read

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True


@contextlib.contextmanager
def of(alias: str) -> Iterator[None]:
    """Read from and write to the database ``alias``."""
    before, _alias[0] = _alias[0], alias
    try:
        yield
    finally:
        _alias[0] = before


def fill(alias: str, rows: int, accounts: int) -> None:
    """Users with tokens, and so many finished tasks of theirs, analysed as the server would in time."""
    with connections[alias].cursor() as cursor:
        cursor.execute(USERS, [accounts])
        cursor.execute(TOKENS)
        cursor.execute(FINAL, {"rows": rows, "accounts": accounts})
        cursor.execute("ANALYZE")


def settle(alias: str) -> None:
    """Vacuum as the server would in time."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"VACUUM {TASKS}")


def run_without_vacuum(alias: str, calls: int) -> None:
    """Leave in the table and its indexes what so many calls leave, from their dispatch to their end, until VACUUM."""
    with connections[alias].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TASKS} SET (autovacuum_enabled = false)")
        cursor.execute(
            f"CREATE TEMPORARY TABLE chosen AS SELECT id FROM {TASKS} WHERE state = 'DONE' LIMIT %s", [calls]
        )
        for state in ("PENDING", "PROCESSING", "DONE"):
            cursor.execute(f"UPDATE {TASKS} SET state = %s WHERE id IN (SELECT id FROM chosen)", [state])
