"""System checks of DATABASES: persistent connections, where users are, and what an SQLite file may lose."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.db import router

from ..conf import conf
from .registry import CheckId, Finding, registered

SQLITE_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first release of each branch of SQLite in which the WAL-reset bug is fixed."""
SYNCHRONOUS = re.compile(r"\bsynchronous\s*[=(]\s*['\"]?(\w+)", re.IGNORECASE)
DURABLE = {"full", "extra", "2", "3"}
"""Values of SQLite's ``synchronous`` with which committed data survives a power cut."""


def _databases() -> Mapping[str, Mapping[str, Any]]:
    given: Mapping[str, Mapping[str, Any]] = conf.project("DATABASES", {})
    return given


def _is_sqlite(database: Mapping[str, Any]) -> bool:
    return "sqlite" in database.get("ENGINE", "")


@registered()
def check_users() -> Iterator[Finding]:
    """Whether the user table, to which the tasks refer, is in their database; it may be empty there."""
    alias = router.db_for_write(apps.get_model("asyncexchange.AsyncTask"))
    if not router.allow_migrate_model(alias, apps.get_model(conf.project("AUTH_USER_MODEL"))):
        yield (
            CheckId.USERS_ELSEWHERE,
            f"DATABASE_ROUTERS put the tasks into {alias!r}, but not the user table, to which their table refers.",
            "Let allow_migrate() put the tables of users and content types there too, where they stay empty; or the "
            "tasks where the users are. Calls of users of another database are accepted either way.",
        )


@registered(deploy=True)
def check_asgi() -> Iterator[Finding]:
    """Persistent connections belong to threads, and an ASGI server keeps starting new ones."""
    for alias, database in _databases().items() if conf.project("ASGI_APPLICATION") else ():
        if database.get("CONN_MAX_AGE", 0) != 0 and not _is_sqlite(database):
            yield (
                CheckId.CONNECTIONS_PILE_UP,
                f"DATABASES[{alias!r}] keeps connections (CONN_MAX_AGE), which pile up in an ASGI server.",
                "Set CONN_MAX_AGE to 0 in the web processes, or OPTIONS['pool'] there; to None in the workers alone.",
            )


@registered(deploy=True)
def check_sqlite() -> Iterator[Finding]:
    files = {alias: database for alias, database in _databases().items() if _is_sqlite(database)}
    if files and not _is_fixed(sqlite3.sqlite_version_info):
        yield (
            CheckId.SQLITE_OLD,
            f"SQLite {sqlite3.sqlite_version} can lose committed rows when several processes write (WAL reset bug).",
            "Use SQLite 3.51.3 (or 3.50.7, 3.44.6), or another database, in production.",
        )
    for alias, database in files.items():
        values = SYNCHRONOUS.findall(database.get("OPTIONS", {}).get("init_command", ""))
        if values and values[-1].lower() not in DURABLE:
            yield (
                CheckId.SQLITE_UNSYNCED,
                f"DATABASES[{alias!r}] has 'synchronous = {values[-1]}': a power cut may lose accepted calls.",
                "Write PRAGMA synchronous=FULL, which is also SQLite's default.",
            )


def _is_fixed(version: tuple[int, ...]) -> bool:
    if version >= SQLITE_FIXED[0]:
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in SQLITE_FIXED)
