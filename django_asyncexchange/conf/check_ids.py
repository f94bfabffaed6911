"""Ids of all system checks of this app. Their docstrings are shown on the reference page."""

from __future__ import annotations

import enum


class CheckId(enum.StrEnum):
    """Every check of this app."""

    MIDDLEWARE_MISSING = "asyncexchange.E001"
    """The middleware is missing."""
    MIDDLEWARE_NOT_LAST = "asyncexchange.E002"
    """The middleware is not the last one. Above the CSRF check, an asynchronous call would be a way around it."""
    UNKNOWN_KEY = "asyncexchange.E003"
    """``ASYNC_EXCHANGE`` has an unknown key."""
    DIALECT_WRONG = "asyncexchange.E004"
    """A dialect cannot be mounted: its name, its class or one of its options is unknown, or an option has a value that
    it does not take. See :doc:`settings`.
    """
    DIALECTS_COLLIDE = "asyncexchange.E005"
    """Two dialects claim the same calls: same prefix, same trigger, a method in common."""
    EXECUTOR_WRONG = "asyncexchange.E006"
    """``EXECUTOR`` is no executor, cannot be imported or created, or needs an app that is not in ``INSTALLED_APPS``."""
    OWNER_WRONG = "asyncexchange.E007"
    """``OWNER`` cannot be imported, or cannot be called with a request."""
    URLS_MISSING = "asyncexchange.E008"
    """The URLconf does not resolve an address of a mount to this app: its URLs are not included, or below another path,
    or after a pattern that matches every address. The results of accepted calls could not be fetched.
    """
    STORAGE_PUBLIC = "asyncexchange.E009"
    """Results are stored in ``MEDIA_ROOT``, which everybody can read."""
    CLUSTER_MISSING = "asyncexchange.E010"
    """``Q_CLUSTER`` is missing, though django-q2 is the executor."""
    CLUSTER_RETRY = "asyncexchange.E011"
    """``retry`` of ``Q_CLUSTER`` is not longer than ``timeout``: the message of a long run would be delivered again."""
    CLUSTER_TIMEOUT = "asyncexchange.E012"
    """``timeout`` of ``Q_CLUSTER`` is missing, does not exceed the longest ``RUN_LIMIT`` (for a cluster that only
    delivers webhooks: a minute), or is no whole number.
    """
    CLUSTER_GUARD = "asyncexchange.E013"
    """``guard_cycle`` of ``Q_CLUSTER`` is not a multiple of 0.25, so that its second time limit has no effect."""
    CLUSTER_POOL = "asyncexchange.E014"
    """A database has a connection pool, which forked workers would share."""
    SENDFILE_WRONG = "asyncexchange.E015"
    """``SENDFILE`` has no effect: django-sendfile2 or its backend is missing, or the files are not below
    ``SENDFILE_ROOT``.
    """
    PRESIGNED_WRONG = "asyncexchange.E016"
    """``PRESIGNED`` cannot work: the storage is no S3 bucket, or does not sign its addresses."""
    EXECUTOR_MISCONFIGURED = "asyncexchange.E017"
    """The executor cannot work with its settings. django-q2: ``QUEUES`` names a cluster that ``ALT_CLUSTERS`` does not
    have, ``broker_class`` cannot be imported or does not go with ``orm``, or Redis's ``socket_timeout`` is a second or
    less. Celery: its application is missing, or its ``task_time_limit`` does not exceed the longest ``RUN_LIMIT``.
    Django Tasks: ``QUEUES`` names a queue that ``TASKS`` does not list, or ``REQUIRE_WORKER`` is on.
    """
    USERS_ELSEWHERE = "asyncexchange.E031"
    """``DATABASE_ROUTERS`` put the tasks into a database without the table of users, to which the table of tasks
    refers: ``migrate`` or every submit would fail. The table may be empty there.
    """
    VALUE_WRONG = "asyncexchange.E041"
    """A key of ``ASYNC_EXCHANGE`` has a value that it does not take. See :doc:`settings`."""
    SETTING_MISNAMED = "asyncexchange.E042"
    """``ASYNC_EXCHANGE`` is no dictionary; or a setting has a name like it, such as ``ASYNCEXCHANGE``, that nobody
    reads.
    """
    STORAGE_WRONG = "asyncexchange.E043"
    """The storage ``asyncexchange`` cannot be imported or created."""
    CLUSTER_WRONG = "asyncexchange.E044"
    """``Q_CLUSTER`` has a value that django-q2 cannot use, or a key that is misspelt; or ``orm`` names no database."""
    STORAGE_MISSING = "asyncexchange.W001"
    """There is no storage ``asyncexchange``: bodies of every size are kept in the database."""
    CLUSTER_ACK = "asyncexchange.W002"
    """``Q_CLUSTER`` delivers failed tasks again. Retries are decided by this app."""
    CLUSTER_SAVES = "asyncexchange.W003"
    """``Q_CLUSTER`` keeps a row for each success, which makes the queue slow."""
    CLUSTER_ALIAS = "asyncexchange.W004"
    """The queue is in another database than the tasks, so that a task and its message are not committed together."""
    CLUSTER_CACHE = "asyncexchange.W005"
    """Django-q2 writes its statistics into a cache in the same SQLite file."""
    CONNECTIONS_REOPENED = "asyncexchange.W006"
    """Connections are opened for each task. On SQLite, which opens them quickly, this is reported for other brokers
    only.
    """
    SQLITE_OLD = "asyncexchange.W007"
    """This version of SQLite can lose committed rows when several processes write."""
    STORAGE_THREADS = "asyncexchange.W008"
    """The S3 storage uploads with threads, which hold ten parts of an answer in memory at a time."""
    CLUSTER_UNGUARDED = "asyncexchange.W009"
    """The ``broker_class`` of ``Q_CLUSTER`` is not one of this app, so that ``manage.py asyncexchange_worker`` refuses
    it, and a cluster of ``qcluster`` hangs when an idle worker is killed. See :doc:`/howto/deployment`.
    """
    CLUSTER_SYNC = "asyncexchange.W010"
    """``sync`` of ``Q_CLUSTER`` has calls run by the web process."""
    CLUSTER_NAMELESS = "asyncexchange.W011"
    """``Q_CLUSTER`` is on Redis and has no ``name``: two projects on one Redis would take each other's messages."""
    CLUSTER_AHEAD = "asyncexchange.W012"
    """``queue_limit`` or ``bulk`` of ``Q_CLUSTER`` is more than four times ``workers``. So many calls wait behind
    others although another cluster is free, and are late when a cluster dies. Without ``queue_limit``, it is the square
    of ``workers``, and that is the number of cores.
    """
    CLUSTER_RECYCLE = "asyncexchange.W013"
    """``recycle`` of ``Q_CLUSTER`` is below 100, or ``max_rss`` (in KiB) below what any worker needs, so that processes
    are replaced all the time.
    """
    CLUSTER_CATCH_UP = "asyncexchange.W014"
    """``catch_up`` of ``Q_CLUSTER`` is on: after an outage, missed runs of the project's schedules precede waiting
    calls.
    """
    SQLITE_UNSYNCED = "asyncexchange.W015"
    """SQLite's ``synchronous`` is below ``FULL``, so that a power cut may take calls that were accepted."""
    NETWORKS_OPEN = "asyncexchange.W016"
    """``WEBHOOK_ALLOWED_NETWORKS`` is not empty, and ``DEBUG`` is off."""
    CONNECTIONS_PILE_UP = "asyncexchange.W030"
    """The project runs under ASGI (``ASGI_APPLICATION``) with persistent database connections: those of ended threads
    pile up.
    """
    CLUSTER_LOCKS = "asyncexchange.W031"
    """This machine has no writable ``/dev/shm``, so that django-q2's processes cannot share locks; the worker does not
    start there.
    """
    VIEW_UNKNOWN = "asyncexchange.W041"
    """An entry of ``VIEWS`` is not the name of a URL pattern, nor a path or pattern that matches an address."""
    MARK_UNHEARD = "asyncexchange.W042"
    """A view is marked, for example with ``allow_async``, below a decorator without ``functools.wraps`` or within a
    ``functools.partial``, so that the mark has no effect. See :doc:`/howto/mark-a-view`.
    """
