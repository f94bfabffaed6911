"""Target@Mail.Ru's dialect, table by table."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from django_asyncexchange import exceptions
from django_asyncexchange.dialects.base import Trigger
from django_asyncexchange.dialects.mailru.dialect import MailRu, MailRuPolicy
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.protocol.values import Callback, Context, Replay, Snapshot, header

from .contract import NOW, TASK_ID, DialectContract, call, context, document, snapshot
from .test_moysklad import russian

STATUS = f"/async_api/v2/requests/{TASK_ID}.json"
RESULT = f"/async_api/v2/responses/{TASK_ID}.json"
ANSWERED = (State.DONE, State.API_ERROR, State.ERROR)
UNFINISHED = (State.PENDING, State.PROCESSING)
WITHOUT_ANSWER = (Reason.LOST, Reason.RUN_TIMEOUT, Reason.STORAGE)


class TestMailRu(DialectContract):
    cls = MailRu
    shared_words = frozenset({"done"})


@pytest.fixture
def mailru() -> MailRu:
    return MailRu(name="mailru")


def at(script_name: str = "") -> Context:
    path = f"{script_name}/async_api"
    return context(base=f"https://target.mail.ru{path}", path=path)


def lost(reason: Reason = Reason.LOST, **changes: Any) -> Snapshot:
    return snapshot(State.ERROR, **({"status_code": None, "content": None, "reason": reason} | changes))


def refusal(mailru: MailRu, error: exceptions.AsyncExchangeError) -> tuple[int, Any]:
    response = mailru.problem(error, at())
    return response.status, document(response)


# Submitting ----------------------------------------------------------------------------------------------------------


def test_trigger_is_the_path() -> None:
    assert MailRu.TRIGGER is Trigger.PATH


@pytest.mark.seed("S000-1")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_every_call_in_every_method_can_be_queued(mailru: MailRu, method: str) -> None:
    one = call(method, "/async_api/v2/campaigns.json")
    assert mailru.wants_async(one)
    mailru.admit(one)
    assert (MailRu.EVERY_VIEW, MailRu.METHODS) == (True, None)


@pytest.mark.seed("S000-7")
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/async_api/v2/campaigns.json", "/api/v2/campaigns.json"),
        ("/async_api/v1/campaigns/5.json", "/api/v1/campaigns/5.json"),
        ("/async_api/v2/a/async_api/b/api/c", "/api/v2/a/async_api/b/api/c"),
        ("/async_api/", "/api/"),
        ("/async_api", "/api"),
        ("/async_api/v2/requests.json", "/api/v2/requests.json"),
        ("/async_api/requests/1.json", "/api/requests/1.json"),
        ("/async_api/v2/lists/requests/1.json", "/api/v2/lists/requests/1.json"),
    ],
)
def test_only_the_prefix_is_replaced(mailru: MailRu, path: str, target: str) -> None:
    one = call("POST", path, "fields=id,name&async=%20")
    assert mailru.wants_async(one)
    assert mailru.target(one) == (target, "fields=id,name&async=%20")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/campaigns.json",
        "/async_apis/v2/campaigns.json",
        "/v2/async_api/campaigns.json",
        "/",
        "/async_api/v2/requests/1.json",
        "/async_api/v2/responses/1.json",
        "/async_api/v10/requests/1.json",
        "/async_api/v2/requests/",
        "/async_api/v2/responses",
        "/async_api/v2/requests/a\nb",
    ],
)
def test_other_paths_and_own_resources_are_no_trigger(mailru: MailRu, path: str) -> None:
    assert not mailru.wants_async(call(path=path))


@pytest.mark.parametrize("prefix", ["", "/"])
def test_prefix_is_never_empty(prefix: str) -> None:
    assert MailRu(name="mailru", prefix=prefix).prefix == "/async_api"


@pytest.mark.parametrize(
    ("prefix", "api", "path", "target"),
    [
        ("/later", "/now/", "/later/v2/x", "/now/v2/x"),
        ("/later/", "/now", "/later/v2/x", "/now/v2/x"),
        ("/later", "", "/later/v2/x", "/v2/x"),
        ("/later", "", "/later", "/"),
    ],
)
def test_both_prefixes_can_be_set(prefix: str, api: str, path: str, target: str) -> None:
    mailru = MailRu(name="mailru", prefix=prefix, policy=MailRuPolicy(api=api))
    assert mailru.target(call(path=path))[0] == target


def test_policy_is_a_day_in_moscow_without_limits() -> None:
    policy, day = MailRu.POLICY, dt.timedelta(hours=24)
    assert (policy.retention, policy.error_retention, policy.window) == (day, day, day)
    assert (policy.capacity, policy.queue_limit, policy.time_zone) == (None, None, "Europe/Moscow")
    assert (MailRu.THROTTLED, MailRu.PER_OWNER) == (False, True)


# Callback ------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S000-9")
@pytest.mark.parametrize("headers", [{}, {"X_Callback_Location": ""}, {"X_Callback_Method": "PUT"}])
def test_no_callback_without_a_location(mailru: MailRu, headers: dict[str, str]) -> None:
    assert mailru.callback(call("POST", **headers)) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://client.com/callback",
        "https://client.com",
        "HTTPS://Client.com:8443/a%20b?x=1&y=@,;#part",
        "http://client.com?x=1",
        "http://xn--e1afmkfd.xn--p1ai/",
        "http://[2001:db8::1]:8080/",
        "http://192.0.2.1/",
        "http://client.com/" + "a" * (2048 - 18),
    ],
)
def test_valid_callback_url(mailru: MailRu, url: str) -> None:
    assert mailru.callback(call("POST", X_Callback_Location=f" {url}\t")) == Callback(url=url, method="GET")


@pytest.mark.parametrize(
    "url",
    [
        "client.com/callback",
        "//client.com/callback",
        "/callback",
        "ftp://client.com/",
        "javascript:alert(1)",
        "http:client.com",
        "http://",
        "http:///callback",
        "http://:80/",
        "http://@client.com/",
        "http://user@client.com/",
        "http://user:password@client.com/",
        "http://client.com:port/",
        "http://client.com:0/",
        "http://client.com:65536/",
        "http://[::1/",
        "http://[:::]/",
        "http://[fe80::1%25eth0]/",
        "http://client.com/a b",
        "http://client.com/\r\nX-Header: 1",
        "http://client.com/\x00",
        "http://client.com\\@evil.com/",
        "http://client.com/\\a",
        "http://клиент.рф/",
        "http://client.com/é",
        "http://client.com/" + "a" * (2049 - 18),
    ],
)
def test_invalid_callback_url_is_a_400_under_its_header(mailru: MailRu, url: str) -> None:
    with pytest.raises(exceptions.CallbackRefused) as caught:
        mailru.callback(call("POST", X_Callback_Location=url))
    assert refusal(mailru, caught.value) == (
        400,
        {"X-Callback-Location": "The callback has to be an absolute http(s) URL."},
    )


@pytest.mark.parametrize(("text", "method"), [("GET", "GET"), ("POST", "POST"), ("", "GET")])
def test_method_of_the_callback(mailru: MailRu, text: str, method: str) -> None:
    one = call("POST", X_Callback_Location="http://client.com/callback", X_Callback_Method=text)
    assert mailru.callback(one) == Callback(url="http://client.com/callback", method=method)


@pytest.mark.parametrize("text", ["PUT", "post", "GET, POST", "DELETE"])
def test_invalid_callback_method_is_a_400_under_its_header(mailru: MailRu, text: str) -> None:
    with pytest.raises(exceptions.CallbackRefused) as caught:
        mailru.callback(call("POST", X_Callback_Location="http://client.com/callback", X_Callback_Method=text))
    assert refusal(mailru, caught.value) == (
        400,
        {"X-Callback-Method": "The callback's method has to be GET or POST."},
    )


def test_refused_callback_without_a_field_is_about_the_location(mailru: MailRu) -> None:
    assert list(refusal(mailru, exceptions.CallbackRefused())[1]) == ["X-Callback-Location"]


# The 202 -------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S000-14", "S000-15", "S000-16", "S000-17")
@pytest.mark.parametrize("state", State)
def test_kick_off(mailru: MailRu, state: State) -> None:
    response = mailru.accepted(snapshot(state), at())
    assert response.status == 202
    assert header(response.headers, "Location") == STATUS
    assert document(response) == {"id": str(TASK_ID), "status": "enqueued", "created": "2021-02-16 15:28:00"}


def test_urls_start_at_the_script_name_without_host(mailru: MailRu) -> None:
    assert header(mailru.accepted(snapshot(), at("/site")).headers, "Location") == f"/site{STATUS}"


# Status of every state -----------------------------------------------------------------------------------------------


@pytest.mark.seed("S000-3", "S000-18", "S000-20", "S000-21", "S000-31", "S000-32", "S000-34")
@pytest.mark.parametrize(
    ("task", "status", "has_started"),
    [
        (snapshot(State.PENDING, started=None), "enqueued", False),
        (snapshot(State.PENDING), "enqueued", False),
        (snapshot(State.PROCESSING), "started", True),
        *((lost(reason), "unknown", True) for reason in WITHOUT_ANSWER),
        (lost(Reason.QUEUE_TIMEOUT, started=None), "unknown", False),
        (snapshot(State.CANCEL), "cancelled", False),
    ],
)
def test_status_of_a_task_without_response(mailru: MailRu, task: Snapshot, status: str, has_started: bool) -> None:
    response = mailru.status(task, at())
    assert response.status == 200
    assert [name for name, _ in response.headers] == ["Content-Type", "Cache-Control"]
    assert header(response.headers, "Cache-Control") == "no-store"
    record = {"id": str(TASK_ID), "status": status, "created": "2021-02-16 15:28:00"}
    assert document(response) == record | ({"started": "2021-02-16 15:29:00"} if has_started else {})


@pytest.mark.seed("S000-23", "S000-24", "S000-25", "S000-26", "S000-27", "S000-28", "S000-33")
@pytest.mark.parametrize(
    ("state", "code"), [(State.DONE, 200), (State.DONE, 302), (State.API_ERROR, 400), (State.ERROR, 500)]
)
def test_status_of_an_answered_task_is_a_303_to_the_response(mailru: MailRu, state: State, code: int) -> None:
    response = mailru.status(snapshot(state, status_code=code), at())
    assert response.status == 303
    assert header(response.headers, "Location") == RESULT
    assert header(response.headers, "Cache-Control") == "no-store"
    assert document(response) == {
        "id": str(TASK_ID),
        "status": "done",
        "response_http_code": code,
        "response_url": RESULT,
        "started": "2021-02-16 15:29:00",
        "exec_time": 60000,
        "created": "2021-02-16 15:28:00",
    }


@pytest.mark.seed("S000-36")
def test_status_has_four_words(mailru: MailRu) -> None:
    """A task cancelled by an administrator is ours: the protocol itself cannot cancel."""
    tasks = [snapshot(state) for state in State if state is not State.CANCEL]
    words = {document(mailru.status(task, at()))["status"] for task in (*tasks, *map(lost, WITHOUT_ANSWER))}
    assert words == {"enqueued", "started", "done", "unknown"}
    assert set(MailRu.WORDS.values()) - words == {"cancelled"}
    assert set(MailRu.ROUTES) == {"status", "result"}


@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("enqueued", {State.PENDING}),
        ("started", {State.PROCESSING}),
        ("done", {State.DONE, State.API_ERROR}),
        ("unknown", {State.ERROR}),
        ("cancelled", {State.CANCEL}),
    ],
)
def test_states_of_each_word(word: str, states: set[State]) -> None:
    assert {state for state in State if MailRu.WORDS[state] == word} == states


# Samples of the documentation ----------------------------------------------------------------------------------------


def moscow(text: str) -> dt.datetime:
    """Moscow was at UTC+4 in March 2014."""
    return dt.datetime.fromisoformat(f"{text}+04:00").astimezone(dt.UTC)


SAMPLE = {"created": moscow("2014-03-05 23:50:38.999999"), "deletion_date": NOW + dt.timedelta(hours=1)}


@pytest.mark.seed("S000-21", "S000-22")
def test_first_documented_sample(mailru: MailRu) -> None:
    sample = document(mailru.status(snapshot(State.PENDING, **SAMPLE), at()))
    assert sample == {"id": str(TASK_ID), "status": "enqueued", "created": "2014-03-05 23:50:38"}


@pytest.mark.seed("S000-22", "S000-26", "S000-28")
def test_second_documented_sample(mailru: MailRu) -> None:
    started = moscow("2014-03-05 23:57:23.100000")
    finished = started + dt.timedelta(microseconds=125_999)
    task = snapshot(State.API_ERROR, status_code=400, started=started, finished=finished, **SAMPLE)
    assert list(document(mailru.status(task, at())).items()) == [
        ("id", str(TASK_ID)),
        ("status", "done"),
        ("response_http_code", 400),
        ("response_url", RESULT),
        ("started", "2014-03-05 23:57:23"),
        ("exec_time", 125),
        ("created", "2014-03-05 23:50:38"),
    ]


def test_dates_are_in_the_policys_time_zone() -> None:
    utc = MailRu(name="mailru", policy=MailRuPolicy(time_zone="UTC"))
    assert document(utc.status(snapshot(State.PENDING), at()))["created"] == "2021-02-16 12:28:00"


# Result of every state -----------------------------------------------------------------------------------------------


@pytest.mark.seed("S000-2", "S000-29", "S000-30")
@pytest.mark.parametrize("state", ANSWERED)
def test_result_is_the_unchanged_response(mailru: MailRu, state: State) -> None:
    assert mailru.result(snapshot(state), at()) == Replay()


@pytest.mark.parametrize(
    ("task", "status", "code"),
    [
        *((snapshot(state), 404, "not_ready") for state in UNFINISHED),
        *((lost(reason), 404, "unknown") for reason in WITHOUT_ANSWER),
        (snapshot(State.CANCEL), 410, "cancelled"),
    ],
)
def test_result_without_response_is_an_error(mailru: MailRu, task: Snapshot, status: int, code: str) -> None:
    with pytest.raises(exceptions.ResultUnavailable) as caught:
        mailru.result(task, at())
    found, answer = refusal(mailru, caught.value)
    assert (found, answer["code"], set(answer)) == (status, code, {"error", "code"})


@pytest.mark.parametrize("verb", ["status", "result"])
@pytest.mark.parametrize("task", [*map(snapshot, ANSWERED), snapshot(State.CANCEL), lost()])
def test_expired_task_is_answered_like_an_unknown_one(mailru: MailRu, verb: str, task: Snapshot) -> None:
    late = replace(at(), now=NOW + dt.timedelta(hours=1))
    with pytest.raises(exceptions.TaskNotFound) as caught:
        getattr(mailru, verb)(task, late)
    assert refusal(mailru, caught.value) == (404, {"error": "There is no such task.", "code": "not_found"})


@pytest.mark.seed("S000-17", "S000-29")
@pytest.mark.parametrize(("verb", "address"), [("status", STATUS), ("result", RESULT)])
def test_both_resources_are_read_with_get(verb: str, address: str) -> None:
    route = MailRu.ROUTES[verb]
    assert (route.method, f"/async_api/{route.path.format(id=TASK_ID)}") == ("GET", address)


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (exceptions.NotEligible, 400),
        (exceptions.IdempotencyKeyMalformed, 400),
        (exceptions.IdempotencyKeyReused, 422),
        (exceptions.RequestMalformed, 400),
        (exceptions.NotAuthenticated, 401),
        (exceptions.PermissionDenied, 403),
        (exceptions.TaskNotFound, 404),
        (exceptions.MalformedId, 404),
        (exceptions.RouteNotFound, 404),
        (exceptions.MethodNotAllowed, 405),
        (exceptions.RequestTooLarge, 413),
        (exceptions.Throttled, 429),
        (exceptions.CapacityExceeded, 429),
        (exceptions.InternalError, 500),
        (exceptions.SubmitFailed, 503),
        (exceptions.Unavailable, 503),
    ],
)
def test_status_of_each_error(mailru: MailRu, error: type[exceptions.AsyncExchangeError], status: int) -> None:
    found, answer = refusal(mailru, error())
    assert found == status
    assert set(answer) == {"error", "code"}


def test_401_keeps_its_challenge(mailru: MailRu) -> None:
    challenge = ("WWW-Authenticate", 'Bearer realm="api"')
    response = mailru.problem(exceptions.NotAuthenticated(headers=(challenge,)), at())
    assert (response.status, header(response.headers, "WWW-Authenticate")) == (401, 'Bearer realm="api"')


def test_every_text_has_a_russian_translation(mailru: MailRu) -> None:
    errors = (*(cls() for cls in MailRu.CODES), exceptions.CallbackRefused(field="X-Callback-Method"))
    for error in errors:
        text, _, _ = russian()[mailru.wire(error).text].partition("%(")
        assert text in mailru.problem(error, context(translate=russian().__getitem__)).body.decode()
