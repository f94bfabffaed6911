"""A dialect that is not part of the package: its case table, and over HTTP."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from django_asyncexchange import exceptions
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import Replay
from tickets.dialect import Ticket

from ..dialects.contract import NOW, TASK_ID, DialectContract, call, context, document, imported, modules_of, snapshot
from .conftest import Site

REPORT = "/api/remap/1.2/report/dashboard/day"

CASES: tuple[tuple[State, dict[str, Any], str, type[Exception] | None], ...] = (
    (State.PENDING, {}, "queued", exceptions.ResultNotReady),
    (State.PROCESSING, {}, "working", exceptions.ResultNotReady),
    (State.DONE, {}, "ready", None),
    (State.DONE, {"deletion_date": NOW}, "ready", exceptions.ResultExpired),
    (State.API_ERROR, {}, "ready", None),
    (State.ERROR, {}, "failed", None),
    (State.ERROR, {"status_code": None, "reason": Reason.LOST}, "failed", exceptions.ResultFailed),
    (State.CANCEL, {}, "dropped", exceptions.ResultCancelled),
)
"""State and what else is known → what the ticket says, and why there are no goods."""


class TestTicket(DialectContract):
    cls = Ticket
    shared_words = frozenset({"ready"})

    def test_only_the_standard_library_is_imported(self) -> None:
        """And the package, which a dialect outside of it can only name."""
        for file in modules_of(self.cls):
            assert imported(file) <= sys.stdlib_module_names | {"django_asyncexchange"}


@pytest.fixture
def ticket() -> Ticket:
    return Ticket(name="tickets")


@pytest.mark.parametrize(("state", "changes", "word", "refusal"), CASES)
def test_ticket_has_its_state(
    ticket: Ticket, state: State, changes: dict[str, Any], word: str, refusal: type[Exception] | None
) -> None:
    task = snapshot(state, **changes)
    response = ticket.status(task, context())
    assert (response.status, document(response)) == (200, {"ticket": str(TASK_ID), "state": word})
    if refusal is None:
        assert ticket.result(task, context()) == Replay()
    else:
        with pytest.raises(refusal):
            ticket.result(task, context())


@pytest.mark.parametrize(("text", "wanted"), [("please", True), ("now", False), ("", False)])
def test_ticket_has_to_be_asked_for_politely(ticket: Ticket, text: str, wanted: bool) -> None:
    assert ticket.wants_async(call("POST", X_Ticket=text)) is wanted


def test_accepted_response_names_the_ticket(ticket: Ticket) -> None:
    assert document(ticket.accepted(snapshot(), context(path="/cloakroom"))) == {
        "ticket": f"/cloakroom/tickets/{TASK_ID}"
    }


def test_call_is_answered_with_a_ticket(worked: Site) -> None:
    accepted = worked.get(REPORT, headers={"X-Ticket": "please"})
    assert (accepted.status_code, accepted.json().keys()) == (202, {"ticket"})
    ticket = accepted.json()["ticket"]
    seen = worked.until(lambda: worked.get(ticket).json(), lambda seen: seen["state"] not in ("queued", "working"))
    assert seen == {"ticket": ticket.removeprefix("/api/tickets/"), "state": "ready"}
    assert worked.get(f"{ticket}/goods").json() == worked.get(REPORT).json()
    assert worked.get(ticket, "token-ivan").json()["problem"] == "unknown"


def test_view_that_is_not_listed_gets_no_ticket(site: Site) -> None:
    answer = site.get("/api/remap/1.2/entity/product", headers={"X-Ticket": "please"})
    assert (answer.status_code, answer.json()["problem"]) == (400, "no-ticket")
