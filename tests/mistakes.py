"""Fifty mistakes in settings, each with the id of its check and a part of its hint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path

from django_asyncexchange.checks import CheckId
from django_asyncexchange.defaults import q_cluster
from django_asyncexchange.protocol.values import Owner

from .services import exchange, ran

DJANGO_Q = "django_asyncexchange.executors.django_q.DjangoQ"


async def owner_async(request: Any) -> Owner:
    return Owner(account="one")


def owner_without_request() -> Owner:
    return Owner(account="one")


class Sender:
    """A class with ``send`` that is no executor."""

    def send(self, id: str, job: str = "run") -> None: ...


def key(**changes: Any) -> dict[str, Any]:
    """``ASYNC_EXCHANGE`` with changed keys."""
    return {"ASYNC_EXCHANGE": exchange(**changes)}


def option(**changes: Any) -> dict[str, Any]:
    """One mount with changed options."""
    mounts = settings.ASYNC_EXCHANGE["DIALECTS"]
    return key(DIALECTS={**mounts, "moysklad": {**mounts["moysklad"], **changes}})


def mounts(**changes: Any) -> dict[str, Any]:
    return key(DIALECTS={**settings.ASYNC_EXCHANGE["DIALECTS"], **changes})


def queue(**changes: Any) -> dict[str, Any]:
    return {**key(EXECUTOR=DJANGO_Q), "Q_CLUSTER": q_cluster(**changes)}


def renamed(name: str) -> dict[str, Any]:
    """Our settings under another name."""
    return {"ASYNC_EXCHANGE": None, name: settings.ASYNC_EXCHANGE}


def urls(*patterns: URLPattern | URLResolver) -> dict[str, Any]:
    """A URLconf with these patterns."""
    return {"ROOT_URLCONF": Urls(patterns)}


class Urls:
    def __init__(self, patterns: tuple[URLPattern | URLResolver, ...]) -> None:
        self.urlpatterns = [path("ran/", ran), path("api/remap/1.2/ran/", ran), *patterns]


def catch_all(request: HttpRequest, rest: str) -> HttpResponse:
    return HttpResponse("a page of a single-page application")


OURS = include("django_asyncexchange.urls")
MISTAKES: Mapping[str, tuple[CheckId, Mapping[str, Any], str]] = {
    # The setting and its keys.
    "a list": (CheckId.SETTING_MISNAMED, {"ASYNC_EXCHANGE": [{"CAPACITY": 4}]}, "dictionary"),
    "ASYNCEXCHANGE": (CheckId.SETTING_MISNAMED, renamed("ASYNCEXCHANGE"), "Call it ASYNC_EXCHANGE"),
    "ASYNC_EXCHANGES": (CheckId.SETTING_MISNAMED, renamed("ASYNC_EXCHANGES"), "Call it ASYNC_EXCHANGE"),
    "DJANGO_ASYNC_EXCHANGE": (CheckId.SETTING_MISNAMED, renamed("DJANGO_ASYNC_EXCHANGE"), "Call it ASYNC_EXCHANGE"),
    "a setting for a key": (
        CheckId.SETTING_MISNAMED,
        {"ASYNC_EXCHANGE_VIEWS": ["/*"]},
        "Write ASYNC_EXCHANGE = {'VIEWS'",
    ),
    "a key misspelt": (CheckId.UNKNOWN_KEY, key(ALLOW_ANONYMUS=True), "Did you mean 'ALLOW_ANONYMOUS'?"),
    "a key in lower case": (CheckId.UNKNOWN_KEY, key(views=["/*"]), "Did you mean 'VIEWS'?"),
    "an option as a key": (CheckId.UNKNOWN_KEY, key(RETENTION=3600), "Valid names"),
    # Values.
    "bytes in words": (CheckId.VALUE_WRONG, key(MAX_REQUEST_BYTES="20MB"), "without quotes"),
    "bytes below nothing": (CheckId.VALUE_WRONG, key(MAX_RESULT_BYTES=-1), "at least 1"),
    "a fraction of a byte": (CheckId.VALUE_WRONG, key(INLINE_BYTES=1e6), "without quotes"),
    "a switch in words": (CheckId.VALUE_WRONG, key(ALLOW_ANONYMOUS="no"), "True or False"),
    "a switch as a number": (CheckId.VALUE_WRONG, key(KEEP_REQUESTS=1), "True or False"),
    "no pause between sweeps": (CheckId.VALUE_WRONG, key(SWEEP_SECONDS=0), "more than 0"),
    "a lease in words": (CheckId.VALUE_WRONG, key(LEASE_SECONDS="30"), "without quotes"),
    "views as a text": (CheckId.VALUE_WRONG, key(VIEWS="/api/*"), "['/api/*']"),
    "a pattern for names": (CheckId.VALUE_WRONG, key(VIEWS=["report-*"]), "begins with a slash"),
    "a name of no URL": (
        CheckId.VIEW_UNKNOWN,
        key(VIEWS=["report-doors:numberd"]),
        "Did you mean 'report-doors:numbered'?",
    ),
    "a path that is nowhere": (CheckId.VIEW_UNKNOWN, key(VIEWS=["/nowhere/"]), "leading slash"),
    "a pattern that meets nothing": (CheckId.VIEW_UNKNOWN, key(VIEWS=["/nowhere/*"]), "leading slash"),
    "an owner that is nowhere": (CheckId.OWNER_WRONG, key(OWNER="nope.nope"), "dotted path of a function"),
    "an owner that is a function": (CheckId.OWNER_WRONG, key(OWNER=owner_without_request), "as a string"),
    "an owner without a request": (CheckId.OWNER_WRONG, key(OWNER=f"{__name__}.owner_without_request"), "(request)"),
    "an owner that is async": (CheckId.OWNER_WRONG, key(OWNER=f"{__name__}.owner_async"), "synchronous"),
    "an owner that cannot be called": (CheckId.OWNER_WRONG, key(OWNER=f"{__name__}.DJANGO_Q"), "Name a function"),
    "a snapshot that is nowhere": (CheckId.VALUE_WRONG, key(SNAPSHOT_AUTH="nope.nope"), "dotted path of a function"),
    "a snapshot without its pair": (
        CheckId.VALUE_WRONG,
        key(SNAPSHOT_USER="tests.services.company"),
        "Set RESTORE_USER too",
    ),
    "a network with bits beyond its mask": (
        CheckId.VALUE_WRONG,
        key(WEBHOOK_ALLOWED_NETWORKS=["10.1.2.3/8"]),
        "'10.0.0.0/8'",
    ),
    "a network as a text": (CheckId.VALUE_WRONG, key(WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8"), "['10.0.0.0/8']"),
    "a port as a text": (CheckId.VALUE_WRONG, key(WEBHOOK_PORTS=["443"]), "1 to 65535"),
    "a proxy without a scheme": (CheckId.VALUE_WRONG, key(WEBHOOK_PROXY="proxy:3128"), "http://"),
    "an authentication class that is a function": (
        CheckId.VALUE_WRONG,
        key(AUTHENTICATION_CLASSES=[f"{__name__}.owner_without_request"]),
        "BaseAuthentication",
    ),
    "authentication classes as a text": (
        CheckId.VALUE_WRONG,
        key(AUTHENTICATION_CLASSES="rest_framework.authentication.TokenAuthentication"),
        "['rest_framework",
    ),
    "a rate without a period": (CheckId.VALUE_WRONG, key(THROTTLE_RATE="600"), "600/min"),
    "users who are erased": (CheckId.VALUE_WRONG, key(ON_USER_DELETE="erase"), "keep"),
    "no try of a delivery": (CheckId.VALUE_WRONG, key(WEBHOOK_SCHEDULE=[]), "at least one"),
    "a key that is none": (CheckId.VALUE_WRONG, key(ENCRYPTION_KEYS=["secret"]), "Fernet.generate_key"),
    "a secret's name with underscores": (CheckId.VALUE_WRONG, key(SECRET_NAMES=["api_key"]), "hyphens"),
    "a queue for no job": (CheckId.VALUE_WRONG, key(QUEUES={"runs": "calls"}), "'run', 'deliver'"),
    # Mounts and their options.
    "a dialect misspelt": (CheckId.DIALECT_WRONG, mounts(moisklad={}), "Did you mean 'moysklad'?"),
    "a dialect's path for its options": (CheckId.DIALECT_WRONG, mounts(ours="tests.dialects.Ours"), "Write {}"),
    "a class that is no dialect": (CheckId.DIALECT_WRONG, mounts(ours={"CLASS": f"{__name__}.Sender"}), "subclass"),
    "an option misspelt": (CheckId.DIALECT_WRONG, option(CAPACITIES=4), "Did you mean 'CAPACITY'?"),
    "a prefix without its slash": (CheckId.DIALECT_WRONG, option(PREFIX="api/remap/1.2"), "begins with a slash"),
    "a duration in words": (CheckId.DIALECT_WRONG, option(RETENTION="1h"), "datetime.timedelta(hours=1)"),
    "a capacity in words": (CheckId.DIALECT_WRONG, option(CAPACITY="4"), "without quotes"),
    "deliveries of no protocol": (CheckId.DIALECT_WRONG, option(DELIVERY="standard"), "'signed'"),
    "a zone on Mars": (CheckId.DIALECT_WRONG, option(TIME_ZONE="Mars/Base"), "IANA"),
    "a retention that no client can ask for": (CheckId.DIALECT_WRONG, option(MAX_RETENTION=60), "RETENTION"),
    "a text for no error": (CheckId.DIALECT_WRONG, option(TEXTS={"61999": "No."}), "61002"),
    "another mount of a preference": (
        CheckId.DIALECTS_COLLIDE,
        mounts(ours={"CLASS": "django_asyncexchange.dialects.prefer.Prefer", "PREFIX": "/ours"}),
        "'prefer': None",
    ),
    # Executors and their queues.
    "an executor that is nowhere": (CheckId.EXECUTOR_WRONG, key(EXECUTOR="nope.Nope"), "executor class"),
    "no executor": (CheckId.EXECUTOR_WRONG, key(EXECUTOR=f"{__name__}.Sender"), "executors.Executor"),
    "django_q missing": (
        CheckId.EXECUTOR_WRONG,
        {
            **key(EXECUTOR=DJANGO_Q),
            "INSTALLED_APPS": [app for app in settings.INSTALLED_APPS if app != "django_q"],
        },
        "Add 'django_q' to INSTALLED_APPS",
    ),
    "a database of the queue misspelt": (CheckId.CLUSTER_WRONG, queue(orm="defualt"), "Did you mean 'default'?"),
    "a key of the queue misspelt": (CheckId.CLUSTER_WRONG, queue(time_out=400), "Did you mean 'timeout'?"),
    "workers in words": (
        CheckId.CLUSTER_WRONG,
        queue(workers=2) | {"Q_CLUSTER": {**q_cluster(), "workers": "2"}},
        "without quotes",
    ),
    "a queue that no cluster serves": (
        CheckId.EXECUTOR_MISCONFIGURED,
        {**key(EXECUTOR=DJANGO_Q, QUEUES={"run": "calls"}), "Q_CLUSTER": q_cluster()},
        "ALT_CLUSTERS",
    ),
    # Addresses.
    "no addresses of ours": (CheckId.URLS_MISSING, urls(), 'path("", include("django_asyncexchange.urls"))'),
    "ours below a path": (CheckId.URLS_MISSING, urls(path("later/", OURS)), "does not work below another path"),
    "ours after a catch-all": (
        CheckId.URLS_MISSING,
        urls(re_path("^(.*)$", catch_all), path("", OURS)),
        "above any catch-all",
    ),
    "a storage that is nowhere": (
        CheckId.STORAGE_WRONG,
        {"STORAGES": {**settings.STORAGES, "asyncexchange": {"BACKEND": "storages.Nope"}}},
        "Name a storage class",
    ),
}
