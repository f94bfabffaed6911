"""simple-history, auditlog, silk, Sentry and Prometheus record a deferred call like an immediate one."""

from __future__ import annotations

import contextvars

from auditlog.models import LogEntry
from django.test import Client
from prometheus_client import REGISTRY
from rest_framework_simplejwt.tokens import AccessToken
from silk.models import Profile, Request, Response

from ..project.serving import ask, wsgi_server
from .calls import key_of, perform, twice
from .notes.models import Note
from .settings import Recorder


def halves(rows):
    """The rows of the immediate call, and of the deferred one."""
    rows = list(rows)
    assert rows and len(rows) % 2 == 0
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]


def test_history_has_the_same_user(client, anna):
    assert twice(client, "/write/", {"text": "a"}).is_equal
    at_once, later = halves(
        Note.history.order_by("history_id").values_list("history_type", "history_user", "text", "author")
    )
    assert (
        at_once == later == [("+", anna.pk, "a", anna.pk), ("~", anna.pk, "a!", anna.pk), ("-", anna.pk, "a!", anna.pk)]
    )


def test_audit_log_has_the_same_actor_and_address(client, anna):
    assert twice(client, "/write/", {"text": "a"}, **{"X-Correlation-ID": "c"}).is_equal
    at_once, later = halves(
        LogEntry.objects.filter(content_type__model="note")
        .order_by("pk")
        .values_list("action", "actor", "remote_addr", "remote_port", "cid", "actor_email")
    )
    assert at_once == later
    assert {entry[1] for entry in later} == {anna.pk}


def test_history_has_the_same_user_with_a_rest_framework_token(anna):
    headers = {"Authorization": f"Bearer {AccessToken.for_user(anna)}"}
    calls = twice(Client(), "/api/notes/", {"text": "a"}, **headers)
    assert calls.is_equal
    at_once, later = halves(Note.history.order_by("history_id").values_list("history_type", "history_user", "author"))
    assert at_once == later == [("+", anna.pk, anna.pk)]


def test_audit_log_has_an_actor_only_in_the_run_with_a_rest_framework_token(anna):
    """In an immediate call, auditlog asks for the user before REST framework has authenticated one."""
    headers = {"Authorization": f"Bearer {AccessToken.for_user(anna)}"}
    assert twice(Client(), "/api/notes/", {"text": "a"}, **headers).is_equal
    entries = LogEntry.objects.filter(content_type__model="note").order_by("pk")
    assert list(entries.values_list("actor", flat=True)) == [None, anna.pk]


def test_silk_records_the_run_like_the_call(client, otto):
    assert twice(client, "/profiled/").is_equal
    seen = Request.objects.filter(path="/profiled/").order_by("start_time")
    assert [(row.method, row.response.status_code) for row in seen] == [("GET", 200), ("GET", 202), ("GET", 200)]
    assert [row.queries.filter(query__contains="notes_note").count() for row in seen] == [1, 0, 1]
    assert Profile.objects.filter(name="profiled").count() == 2
    assert seen[2].response.body == seen[0].response.body


def test_silk_records_the_result_request_and_leaves_its_response_unchanged(client):
    calls = twice(client, "/page/")
    assert calls.is_equal
    assert Response.objects.filter(request__path__endswith="/result", status_code=200).exists()


def test_silks_pages_show_a_run(client, otto):
    twice(client, "/profiled/")
    client.force_login(otto, "django.contrib.auth.backends.ModelBackend")
    assert client.get("/silk/requests/").status_code == 200
    for row in Request.objects.filter(path="/profiled/"):
        assert client.get(f"/silk/request/{row.pk}/").status_code == 200


def test_sentry_gets_the_same_event_from_a_run(client, anna):
    session = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}

    def served():
        with wsgi_server() as port:  # as Sentry expects: each request of a server has a scope of its own
            ask(port, "GET", "/broken/?a=1", headers=session)
            return ask(port, "GET", "/broken/?a=1", headers={**session, "Prefer": "respond-async"})

    Recorder.events.clear()
    _status, _reason, headers, _body = contextvars.Context().run(served)  # without leftovers of earlier tests
    perform(key_of(dict(headers)["Location"]))
    at_once, later = (event for event in Recorder.events if "exception" in event)
    assert at_once["transaction"] == later["transaction"] == "/broken/"
    at_once["user"].pop("ip_address")  # added by Sentry's WSGI integration
    assert at_once["user"] == later["user"]
    assert later["user"]["id"] == str(anna.pk)
    assert at_once["exception"]["values"][0]["type"] == later["exception"]["values"][0]["type"] == "ZeroDivisionError"


def views_answered(status):
    return (
        REGISTRY.get_sample_value(
            "django_http_responses_total_by_status_view_method_total",
            {"status": str(status), "view": "tests.interop.notes.views.whoami", "method": "GET"},
        )
        or 0
    )


def test_prometheus_counts_a_run_at_its_view(client):
    before = views_answered(200)
    assert twice(client, "/whoami/").is_equal
    assert views_answered(200) - before == 2
    assert b"django_http_responses_total_by_status_view_method_total" in client.get("/metrics").content


def test_prometheus_counts_inserts_of_a_run(client):
    name, labels = "django_model_inserts_total", {"model": "note"}
    before = REGISTRY.get_sample_value(name, labels) or 0
    assert twice(client, "/write/", {"text": "a"}).is_equal
    assert REGISTRY.get_sample_value(name, labels) - before == 2
