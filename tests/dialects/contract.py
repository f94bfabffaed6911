"""The contract of every dialect: a test class to inherit, and sample values."""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import inspect
import json
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Dialect, Policy
from django_asyncexchange.exceptions import AsyncExchangeError
from django_asyncexchange.protocol.signer import Signer
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Call, Context, Owner, Replay, Response, Snapshot, header

NOW = dt.datetime(2021, 2, 16, 12, 30, tzinfo=dt.UTC)
TASK_ID = uuid.UUID("498b8673-0308-11e6-9464-e4de00000089")
ACCOUNT = "84e60e93-f504-11e5-8a84-bae500000008"
EMPLOYEE = "98fa7086-8aa1-11e8-7210-075e0000002c"

ANSWERS = {State.DONE: 200, State.API_ERROR: 403, State.ERROR: 500}
"""Status of the stored answer, in the states that have one."""


def call(method: str = "GET", path: str = "/report", query: str = "", **headers: str) -> Call:
    """A call with ``headers`` named like ``Accept_Encoding``."""
    known = {name.replace("_", "-").lower(): text for name, text in headers.items()}
    return Call(method=method, path=path, query=query, header=lambda name: known.get(name.lower(), ""))


def snapshot(state: State = State.DONE, **changes: Any) -> Snapshot:
    """A task in ``state`` with all of its fields."""
    values: dict[str, Any] = {
        "id": TASK_ID,
        "dialect": "dialect",
        "state": state,
        "owner": Owner(account=ACCOUNT, id=EMPLOYEE),
        "method": "GET",
        "url": "https://api.example.com/report?async=true",
        "attempt": 1,
        "created": NOW - dt.timedelta(minutes=2),
        "started": NOW - dt.timedelta(minutes=1),
    }
    if state.is_final:
        values |= {"finished": NOW, "deletion_date": NOW + dt.timedelta(hours=1)}
    if state in ANSWERS:
        values |= {"status_code": ANSWERS[state], "content_type": "application/json", "content": b"{}"}
    return Snapshot(**(values | changes))


def context(**changes: Any) -> Context:
    values: dict[str, Any] = {
        "base": "https://api.example.com/api/remap/1.2",
        "path": "/api/remap/1.2",
        "now": NOW,
        "viewer": Owner(account=ACCOUNT, id=EMPLOYEE),
        "translate": str,
        "signer": Signer(keys=("key",), salt="download"),
    }
    return Context(**(values | changes))


def document(response: Response | Replay) -> Any:
    """The JSON body of ``response``."""
    assert isinstance(response, Response)
    assert header(response.headers, "Content-Type") == "application/json"
    return json.loads(response.body)


def error_classes(root: type[AsyncExchangeError] = AsyncExchangeError) -> list[type[AsyncExchangeError]]:
    """All subclasses of ``root``, parents first."""
    return [found for cls in root.__subclasses__() for found in (cls, *error_classes(cls))]


def modules_of(dialect: type[Dialect]) -> set[Path]:
    """The files of ``dialect``: its module, its parents' and their siblings of the same name."""
    files = {Path(inspect.getfile(cls)) for cls in dialect.__mro__ if issubclass(cls, Dialect)}
    return {sibling for file in files for sibling in file.parent.glob(f"{file.stem}*.py")}


def imported(file: Path) -> set[str]:
    """Top-level packages that ``file`` imports absolutely."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


class DialectContract:
    """Inherit and set ``cls``; ``shared_words`` are words that several states share on purpose."""

    cls: type[Dialect]
    shared_words: frozenset[str] = frozenset()

    @pytest.fixture
    def dialect(self) -> Dialect:
        return self.cls(name="dialect", prefix="/api/remap/1.2")

    def test_every_state_has_a_word(self) -> None:
        assert set(self.cls.WORDS) == set(State)

    def test_words_are_unique_unless_shared_on_purpose(self) -> None:
        counts = Counter(self.cls.WORDS.values())
        assert {word for word, count in counts.items() if count > 1} == self.shared_words

    def errors(self) -> list[type[AsyncExchangeError]]:
        """The errors of this dialect: those about webhooks only if it has webhooks."""
        others = (exceptions.SubscriptionRefused, exceptions.SubscriptionNotFound)
        return [cls for cls in error_classes() if self.cls.SUBSCRIPTIONS or not issubclass(cls, others)]

    def test_every_error_has_a_row_of_its_own_or_of_a_parent(self) -> None:
        assert [cls.__name__ for cls in self.errors() if not self.cls.CODES.keys() & set(cls.__mro__)] == []

    def test_base_error_has_no_row(self) -> None:
        assert AsyncExchangeError not in self.cls.CODES

    def test_every_error_has_an_error_status(self) -> None:
        assert all(400 <= wire.status < 600 for wire in self.cls.CODES.values())

    def test_no_two_routes_share_method_and_path(self) -> None:
        places = [(route.method, route.path) for route in self.cls.ROUTES.values()]
        assert len(places) == len(set(places))

    def test_every_route_is_a_relative_path(self) -> None:
        assert not any(route.path.startswith("/") for route in self.cls.ROUTES.values())

    def test_every_verb_is_implemented(self) -> None:
        methods = {
            "list": ("listing", "page"),
            "cancel": ("cancelled",),
            "cancel_form": ("cancelled",),
            "remove": ("cancelled",),
            "change": ("change", "changed"),
        }
        verbs = {route.verb or name for name, route in self.cls.ROUTES.items()}
        for verb in verbs - {"status", "result"}:  # these have defaults
            for name in methods.get(verb, (verb,)):
                assert getattr(self.cls, name) is not getattr(Dialect, name)

    def test_default_policy_needs_no_settings(self, dialect: Dialect) -> None:
        assert isinstance(dialect.policy, Policy)
        assert dialect.policy is self.cls.POLICY

    def test_ordinary_call_has_no_trigger(self, dialect: Dialect) -> None:
        assert not dialect.wants_async(call("POST", query="a=1&b=2", Accept="*/*"))

    def test_mount_may_override_the_text_of_an_error(self) -> None:
        code = str(self.cls(name="dialect").wire(exceptions.CapacityExceeded()).code)
        policy = dataclasses.replace(self.cls.POLICY, texts={code: "Our own 100 %."})
        mounted = self.cls(name="dialect", policy=policy)
        assert "Our own 100 %." in mounted.problem(exceptions.CapacityExceeded(), context()).body.decode()

    def test_every_error_has_a_text_without_details(self, dialect: Dialect) -> None:
        for cls in self.errors():
            response = dialect.problem(cls(), context())
            assert response.status == dialect.wire(cls()).status
            assert "%(" not in response.body.decode()

    def test_errors_are_not_cached(self, dialect: Dialect) -> None:
        for cls in self.errors():
            assert header(dialect.problem(cls(), context()).headers, "Cache-Control") == "no-store"

    def test_kick_off_is_a_202_and_not_cached(self, dialect: Dialect) -> None:
        response = dialect.accepted(snapshot(State.PENDING), context())
        assert response.status == 202
        assert header(response.headers, "Cache-Control") == "no-store"

    @pytest.mark.parametrize("state", State)
    def test_every_state_has_a_result_or_an_error(self, dialect: Dialect, state: State) -> None:
        try:
            answer = dialect.result(snapshot(state), context())
        except exceptions.ResultUnavailable:
            return
        assert isinstance(answer, Response | Replay)

    def test_bodies_are_read_for_finished_tasks_only(self, dialect: Dialect) -> None:
        assert not any(dialect.reads(verb, state) for verb in self.cls.ROUTES for state in State if not state.is_final)

    def test_only_the_standard_library_is_imported(self) -> None:
        for file in modules_of(self.cls):
            assert imported(file) <= sys.stdlib_module_names
