"""Kladana is MoySklad with another policy."""

from __future__ import annotations

import pytest

from django_asyncexchange.dialects.kladana import Kladana
from django_asyncexchange.dialects.moysklad.dialect import MoySklad
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import header

from .contract import EMPLOYEE, DialectContract, context, document, snapshot

BASE = "https://app.kladana.in/api/remap/1.2"


class TestKladana(DialectContract):
    cls = Kladana


@pytest.fixture
def kladana() -> Kladana:
    return Kladana(name="kladana", prefix="/api/remap/1.2")


def test_only_the_policy_differs() -> None:
    own = {name for name in vars(Kladana) if not name.startswith("_")}
    assert own == {"POLICY"}
    assert issubclass(Kladana, MoySklad)


def test_language_is_english() -> None:
    assert Kladana.POLICY.language == "en"


def test_dates_are_in_moscow_time() -> None:
    assert Kladana.POLICY.time_zone == "Europe/Moscow"


@pytest.mark.seed("S002-10", "S002-11", "S002-12")
def test_kick_off_has_result_and_status_urls(kladana: Kladana) -> None:
    response = kladana.accepted(snapshot(State.PENDING), context(base=BASE))
    task = f"{BASE}/async/498b8673-0308-11e6-9464-e4de00000089"
    assert response.status == 202
    assert header(response.headers, "Location") == f"{task}/result"
    assert header(response.headers, "Content-Location") == task


@pytest.mark.seed("S002-22")
def test_page_of_an_employee_is_on_kladanas_site(kladana: Kladana) -> None:
    owner = document(kladana.status(snapshot(), context(base=BASE)))["owner"]["meta"]
    assert owner["uuidHref"] == f"https://app.kladana.in/app/#employee/edit?id={EMPLOYEE}"
    assert owner["href"] == f"{BASE}/entity/employee/{EMPLOYEE}"


@pytest.mark.seed("S002-52")
def test_api_error_is_replayed(kladana: Kladana) -> None:
    answer = kladana.result(snapshot(State.API_ERROR), context(base=BASE))
    assert (answer.status, answer.headers) == (None, ())
