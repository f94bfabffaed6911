"""The keys of ``Q_CLUSTER`` and what they take. Without django-q2, which reads them when it is imported."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ...conf import conf
from ...conf.check_ids import CheckId
from ...conf.mounts import Problem, suggestion
from ...protocol.validators import Boolean, Integer, Mistake, Seconds, Text, Validator, shown

NAME = Text(text="a name", pattern=r".+", example="myproject")
VALUES: Mapping[str, Validator] = {
    "name": NAME,
    "cluster_name": NAME,
    "broker_class": Text(
        text="a dotted path",
        pattern=r"\w+(\.\w+)+",
        example="django_asyncexchange.executors.django_q_broker.WakingBroker",
    ),
    "workers": Integer(least=1),
    "queue_limit": Integer(least=1),
    "bulk": Integer(least=1),
    "recycle": Integer(least=1),
    "max_rss": Integer(least=1, unit="KiB"),
    "timeout": Seconds(),
    "retry": Seconds(),
    "guard_cycle": Seconds(),
    "poll": Seconds(),
    "max_attempts": Integer(),
    "save_limit": Integer(least=-1),
    "ack_failures": Boolean(),
    "catch_up": Boolean(),
    "scheduler": Boolean(),
    "sync": Boolean(),
}
OTHERS = (
    *("orm", "redis", "django_redis", "iron_mq", "sqs", "mongo", "mongo_db", "cache", "cached", "ALT_CLUSTERS"),
    *("compress", "compressed", "cpu_affinity", "daemonize_workers", "error_reporter", "label", "log_level"),
    *("save_limit_per", "testing", "time_zone", "has_replica", "lock_table"),
)
"""More keys that django-q2 knows."""
CURE = "Write what q_cluster() of django_asyncexchange.defaults returns."


def mistakes() -> Iterator[Problem]:
    """What is wrong with ``Q_CLUSTER``, if there is one."""
    given = conf.project("Q_CLUSTER")
    if given is None:
        return
    if not isinstance(given, Mapping):
        yield _problem("Q_CLUSTER", f"{shown(given)} is no dictionary.", CURE)
        return
    yield from _of("Q_CLUSTER", given)
    alias, known = given.get("orm"), conf.project("DATABASES", {})
    if alias and alias not in known:
        yield _problem("Q_CLUSTER['orm']", f"DATABASES has no {alias!r}.", suggestion(alias, known))
    others = given.get("ALT_CLUSTERS") or {}
    if not isinstance(others, Mapping) or not all(isinstance(other, Mapping) for other in others.values()):
        hint = "Write dictionaries by name: {'webhooks': {'workers': 2}}."
        yield _problem("Q_CLUSTER['ALT_CLUSTERS']", f"{shown(others)} has no settings by name.", hint)
        return
    for name, other in others.items():
        yield from _of(f"Q_CLUSTER['ALT_CLUSTERS'][{name!r}]", other)


def _of(place: str, given: Mapping[str, Any]) -> Iterator[Problem]:
    known = {*VALUES, *OTHERS}
    for key, value in given.items():
        meant = difflib.get_close_matches(str(key), known, n=1, cutoff=0.8)
        if key not in known and meant:
            yield _problem(f"{place}[{key!r}]", "django-q2 has no such key.", f"Did you mean {meant[0]!r}?")
        if key not in VALUES or value is None:
            continue
        try:
            VALUES[key](value)
        except Mistake as error:
            yield _problem(f"{place}[{key!r}]", str(error), error.hint)


def _problem(place: str, wrong: str, hint: str) -> Problem:
    return Problem(setting=place, message=wrong, hint=hint, check_id=CheckId.CLUSTER_WRONG)
