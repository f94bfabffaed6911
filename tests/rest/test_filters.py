"""Filters of the task list: the filter language over HTTP, and the FilterSet in a plain DRF list."""

from __future__ import annotations

import datetime as dt
from urllib.parse import quote

import pytest
from django.urls import include, path
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State
from django_asyncexchange.rest.filters import AsyncTaskFilter
from django_asyncexchange.rest.serializers import AsyncTaskSerializer

from ..services import soon, stored

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

BASE = "/api/remap/1.2/async"


class Tasks(ListAPIView):
    """A project's own view."""

    queryset = AsyncTask.objects.all()
    serializer_class = AsyncTaskSerializer
    permission_classes = (AllowAny,)
    filter_backends = (DjangoFilterBackend,)
    filterset_class = AsyncTaskFilter


urlpatterns = [path("", include("django_asyncexchange.urls")), path("tasks/", Tasks.as_view())]

# One task of each state, named by its state. Deletion dates begin at 2031-05-01 12:00:00 in Moscow.
NOON = dt.datetime(2031, 5, 1, 9, 0, tzinfo=dt.UTC)
DELETION = {
    State.DONE: NOON,
    State.API_ERROR: NOON + dt.timedelta(seconds=1, milliseconds=500),
    State.ERROR: NOON + dt.timedelta(minutes=1),
    State.CANCEL: NOON + dt.timedelta(days=1),
}
AGES = {state: age for age, state in enumerate(State)}


@pytest.fixture
def client(client, admin_user):
    client.force_login(admin_user)
    for state in State:
        address = f"https://h/{state.lower()}?a=1&async=true" if state is not State.CANCEL else "https://h/a;b"
        dates = {"deletion_date": DELETION.get(state), "created": soon(minutes=-AGES[state])}
        stored(state, owner=admin_user, url=address, **dates)
    return client


def words(states):
    return {state.lower() for state in states}


ALL = words(State)
DATED = words(DELETION)


def shown(client, filter):
    response = client.get(f"{BASE}?filter={quote(filter)}")
    assert response.status_code == 200, response.content
    return {row["state"].lower() for row in response.json()["rows"]}


def code_of(client, query):
    response = client.get(f"{BASE}?{query}")
    assert response.status_code == 400, response.content
    return response.json()["errors"][0]["code"]


# The filter language --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        pytest.param("state=DONE", {"done"}, marks=pytest.mark.seed("S002-41")),
        pytest.param("state=done", {"done"}, marks=pytest.mark.seed("S001-25")),
        ("state=Api_Error", {"api_error"}),
        ("state=DONE;state=ERROR", {"done", "error"}),
        ("state!=DONE", ALL - {"done"}),
        ("state!=DONE;state!=ERROR", ALL - {"done", "error"}),
        ("state=DONE;state!=DONE", set()),
        ("state=DONE;state=ERROR;state!=ERROR", {"done"}),
        ("state=DONE;", {"done"}),
        ("", ALL),
        pytest.param("request=https://h/done?a=1&async=true", {"done"}, marks=pytest.mark.seed("S002-42")),
        ("request=https://h/DONE?a=1&async=true", set()),
        ("request=https://h/done", set()),
        ("request=", set()),
        ("request!=https://h/done?a=1&async=true", ALL - {"done"}),
        ("request=https://h/a\\;b", {"cancel"}),
        ("request=https://h/done?a=1&async=true;request=https://h/error?a=1&async=true", {"done", "error"}),
        ("request=https://h/done?a=1&async=true;state=ERROR", set()),
        pytest.param("deletionDate=2031-05-01 12:00", {"done", "api_error"}, marks=pytest.mark.seed("S002-43")),
        ("deletionDate=2031-05-01 12:00:00", {"done"}),
        ("deletionDate=2031-05-01 12:00:01", {"api_error"}),
        ("deletionDate=2031-05-01 12:00:01.500", {"api_error"}),
        ("deletionDate=2031-05-01 12:00:01.499", set()),
        ("deletionDate=2031-05-01 12:00:00;deletionDate=2031-05-01 12:01:00", {"done", "error"}),
        ("deletionDate!=2031-05-01 12:00", ALL - {"done", "api_error"}),
        ("deletionDate!=2031-05-01 12:00;deletionDate!=2031-05-01 12:01", ALL - {"done", "api_error", "error"}),
        ("deletionDate=", ALL - DATED),
        ("deletionDate!=", DATED),
        ("deletionDate=;deletionDate=2031-05-01 12:01", (ALL - DATED) | {"error"}),
        ("deletionDate!=;deletionDate!=2031-05-01 12:01", DATED - {"error"}),
        ("deletionDate<2031-05-01 12:00:01", {"done"}),
        ("deletionDate<=2031-05-01 12:00:00", {"done"}),
        ("deletionDate<2031-05-01 12:00:00", set()),
        ("deletionDate>2031-05-01 12:00:00", DATED - {"done"}),
        ("deletionDate>=2031-05-01 12:00:00", DATED),
        ("deletionDate>2031-05-01 12:00:00;deletionDate<2031-05-01 12:01", {"api_error"}),
        ("deletionDate<2031-05-01 12:01;deletionDate<2040-01-01 00:00", {"done", "api_error"}),
        ("state=DONE;deletionDate>2031-01-01 00:00", {"done"}),
        pytest.param("state=DONE;deletionDate<2031-01-01 00:00", set(), marks=pytest.mark.seed("S001-26")),
    ],
)
def test_filter_selects_tasks(client, filter, expected):
    assert shown(client, filter) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("filter=name=x", 1034),
        ("filter=id=x", 1034),
        ("filter=owner__password__startswith=x", 1034),
        ("filter=state__regex=x", 1034),
        ("filter=_connector=OR", 1034),
        ("filter=State=DONE", 1034),
        ("filter=state~DO", 1034),
        ("filter=state<DONE", 1034),
        ("filter=request~h", 1034),
        ("filter=request>h", 1034),
        ("filter=deletionDate~2031", 1034),
        ("filter=nonsense", 1034),
        ("filter==", 1034),
        ("filter=;;", 1034),
        ("filter=deletionDate=2031-05-01 12:00;deletionDate<2031-05-01 12:00", 1034),
        ("filter=" + ";".join(["state=DONE"] * 21), 1034),
        ("filter=request=" + "x" * 1025, 1034),
        ("filter=state=NOPE", 1041),
        ("filter=state=", 1041),
        ("filter=deletionDate=tomorrow", 1035),
        ("filter=deletionDate<", 1035),
        ("filter=deletionDate=2031-05-01", 1035),
        ("filter=deletionDate=2031-13-01 00:00:00", 1035),
        ("filter=deletionDate=2031-05-01T12:00:00", 1035),
        ("filter=deletionDate=1969-12-31 00:00:00", 1014),
        ("filter=deletionDate=9999-12-31 23:59:59", 1014),
        ("filter=deletionDate=0001-01-01 00:00:00", 1014),
        ("filter=%ff", 1058),
        ("filter=%zz", 1058),
        ("filter=request=%00", 1058),
        ("limit=0", 1040),
        ("limit=-1", 1040),
        ("limit=ten", 1040),
        ("limit=٣", 1040),
        ("offset=-1", 1040),
        ("offset=1.5", 1040),
        ("order=created", 1063),
        ("order=owner__password", 1063),
        ("order=-deletionDate", 1063),
        ("order=?", 1063),
        ("order=request,up", 1042),
    ],
)
def test_invalid_query_is_refused(client, query, code):
    assert code_of(client, quote(query, safe="=&%?")) == code


@pytest.mark.seed("S001-24")
def test_documented_filter_works(client):
    query = "filter=state=done&deletionDate<2031-05-01 16:21:09"
    response = client.get(BASE, QUERY_STRING=query)
    assert [row["state"] for row in response.json()["rows"]] == ["DONE"]


@pytest.mark.seed("S001-29")
def test_href_of_the_list_repeats_the_filter(client):
    response = client.get(BASE, QUERY_STRING="filter=state=done&deletionDate<2031-05-01 16:21:09")
    assert response.json()["meta"]["href"].endswith("/async?filter=state=done;deletionDate%3C2031-05-01%2016:21:09")


def test_filter_may_be_repeated(client):
    response = client.get(f"{BASE}?filter=state=DONE&filter=state=ERROR")
    assert {row["state"] for row in response.json()["rows"]} == {"DONE", "ERROR"}


def test_other_parameters_are_ignored(client):
    assert client.get(f"{BASE}?colour=blue&state=DONE").json()["meta"]["size"] == 6


NEWEST_FIRST = [state.value for state in State]
BY_DATE = ["DONE", "API_ERROR", "ERROR", "CANCEL"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("deletionDate", [*BY_DATE, "PENDING", "PROCESSING"]),
        ("deletionDate,asc", [*BY_DATE, "PENDING", "PROCESSING"]),
        ("deletionDate,DESC", [*reversed(BY_DATE), "PENDING", "PROCESSING"]),
        ("request", ["CANCEL", "API_ERROR", "DONE", "ERROR", "PENDING", "PROCESSING"]),
        ("request,desc", ["PROCESSING", "PENDING", "ERROR", "DONE", "API_ERROR", "CANCEL"]),
        ("deletionDate;request,desc", [*BY_DATE, "PROCESSING", "PENDING"]),
        ("deletionDate,asc;deletionDate,desc", [*BY_DATE, "PENDING", "PROCESSING"]),
        ("", NEWEST_FIRST),
    ],
)
def test_list_is_ordered(client, order, expected):
    rows = client.get(f"{BASE}?order={quote(order)}").json()["rows"]
    assert [row["state"] for row in rows] == expected


# The FilterSet in a plain DRF list ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL),
        ("state=DONE", {"done"}),
        ("state=DONE&state=ERROR", {"done", "error"}),
        ("state__not=DONE", ALL - {"done"}),
        ("method=GET", ALL),
        ("method=POST", set()),
        ("request=https%3A//h/done%3Fa%3D1%26async%3Dtrue", {"done"}),
        ("request__not=https%3A//h/done%3Fa%3D1%26async%3Dtrue", ALL - {"done"}),
        ("request__contains=/don", {"done"}),
        ("deletion_date__lt=2031-05-01T09:00:01Z", {"done"}),
        ("deletion_date__gte=2031-05-01T09:01:00Z", {"error", "cancel"}),
        ("deletion_date__isnull=true", ALL - DATED),
        ("deletion_date__within=2031-05-01T09:00:00Z/2031-05-01T09:00:02Z", {"done", "api_error"}),
        ("deletion_date__within=null", ALL - DATED),
        ("deletion_date__not_within=2031-05-01T09:00:00Z/2031-05-01T09:00:02Z", ALL - {"done", "api_error"}),
        ("state=DONE&request__contains=done&deletion_date__lt=2031-05-01T09:00:01Z&order_by=-deletion_date", {"done"}),
        ("finished__isnull=true", {"pending", "processing"}),
    ],
)
def test_plain_list_can_be_filtered(client, query, expected):
    response = client.get(f"/tasks/?{query}")
    assert response.status_code == 200, response.content
    assert {row["state"].lower() for row in response.json()} == expected


@pytest.mark.parametrize("sign", ["", "-"])
def test_plain_list_can_be_ordered(client, sign):
    rows = client.get(f"/tasks/?order_by={sign}deletion_date&deletion_date__isnull=false").json()
    assert [row["state"] for row in rows] == (BY_DATE[::-1] if sign else BY_DATE)


@pytest.mark.parametrize(
    "query",
    [
        "state=NOPE",
        "state=done",
        "state__not=NOPE",
        "deletion_date__isnull=maybe",
        "deletion_date__lt=tomorrow",
        "deletion_date__lt=0001-01-01T00:00:00%2B14:00",
        "deletion_date__gt=9999-12-31T23:59:59-14:00",
        "deletion_date__within=tomorrow",
        "deletion_date__within=2031-05-01T09:00:00Z",
        "deletion_date__within=2031-05-01T09:00:00/2031-05-02T09:00:00",
        "deletion_date__within=0001-01-01T00:00:00%2B14:00/2031-05-01T09:00:00Z",
        "deletion_date__not_within=x/y",
        "order_by=password",
        "order_by=owner__password",
        "request=%00",
        "request__contains=%00",
        "method=%00",
    ],
)
def test_invalid_value_is_a_400(client, query):
    assert client.get(f"/tasks/?{query}").status_code == 400


@pytest.mark.parametrize("query", ["owner__password__startswith=x", "url__regex=x", "_connector=OR", "id=x"])
def test_unknown_parameters_are_ignored(client, query):
    assert len(client.get(f"/tasks/?{query}").json()) == 6
