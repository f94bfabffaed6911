"""The task endpoints of every dialect: who sees what, and in which format."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

from django_asyncexchange.conf import conf
from django_asyncexchange.dialects.base import json_response
from django_asyncexchange.dialects.moysklad.dialect import MoySklad
from django_asyncexchange.dialects.prefer.dialect import Prefer
from django_asyncexchange.dialects.solitude import Solitude
from django_asyncexchange.endpoints.tasks import TaskView
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import State
from django_asyncexchange.responses import render_context
from django_asyncexchange.urls import routes

from ..services import exchange, soon, stored

pytestmark = pytest.mark.django_db

BASE = "/api/remap/1.2/async"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Address:
    """One URL pattern of one mount."""

    def __init__(self, mount, pattern):
        self.mount = mount
        self.name = pattern.name
        self.verbs = pattern.callback.initkwargs["verbs"]
        self.route = mount.ROUTES[next(iter(self.verbs.values()))] if self.verbs else None

    def path(self, id):
        return f"{self.mount.prefix}/{self.route.path}".replace("{id}", str(id))


def by_name(address):
    return address.name


ALL = [
    Address(mount, pattern) for mount in conf.mounts for pattern in routes(mount) if pattern.callback.cls is TaskView
]
ADDRESSES = [address for address in ALL if address.verbs]
OF_ONE_TASK = [
    (address, method) for address in ADDRESSES if "{id}" in address.route.path for method in sorted(address.verbs)
]
NOWHERE = [address for address in ALL if not address.verbs]

each_address = pytest.mark.parametrize("address", ADDRESSES, ids=by_name)
each_of_one_task = pytest.mark.parametrize(
    ("address", "method"), OF_ONE_TASK, ids=[f"{method} {address.name}" for address, method in OF_ONE_TASK]
)


@pytest.fixture
def people(django_user_model):
    """Anna and Ivan work for one company, Otto for another."""
    return {
        name: django_user_model.objects.create(username=name, last_name=company)
        for name, company in {"anna": "one", "ivan": "one", "otto": "two"}.items()
    }


def as_(user):
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def seen(response):
    """Everything in ``response`` that a client sees."""
    return response.status_code, response.reason_phrase, list(response.items()), response.content


def of(address, state, owner):
    return stored(state, owner=owner, dialect=address.mount.name, answer=b'{"rows":[]}')


def is_worded(address, response):
    """Whether an error has the format of the endpoint's dialect."""
    mount = address.mount
    if isinstance(mount, Solitude) and response.status_code == 404:
        return (response.content, response["Solitude-Async"]) == (b"", "no")
    document = json.loads(response.content)
    if isinstance(mount, MoySklad):
        return all(error["error"] and type(error["code"]) is int for error in document["errors"])
    return isinstance(document, dict) and bool(document)


# Visibility -----------------------------------------------------------------------------------------------------------


@each_of_one_task
def test_task_of_another_account_is_answered_like_an_unknown_one(people, address, method):
    client = as_(people["otto"])
    unknown = seen(client.generic(method, address.path(uuid.uuid4())))
    for state in State:
        task = of(address, state, people["anna"])
        assert seen(client.generic(method, address.path(task.pk))) == unknown
        assert AsyncTask.objects.get(pk=task.pk).state == state


@each_of_one_task
def test_anonymous_client_cannot_tell_whether_a_task_exists(people, address, method):
    unknown = seen(as_(None).generic(method, address.path(uuid.uuid4())))
    assert unknown[0] == (403 if address.route.public else 401)
    for state in State:
        task = of(address, state, people["anna"])
        assert seen(as_(None).generic(method, address.path(task.pk))) == unknown


@each_of_one_task
def test_task_of_another_mount_is_answered_like_an_unknown_one(people, address, method):
    client = as_(people["anna"])
    unknown = seen(client.generic(method, address.path(uuid.uuid4())))
    for state in State:
        task = stored(state, owner=people["anna"], dialect="another", answer=b"{}")
        assert seen(client.generic(method, address.path(task.pk))) == unknown


@each_of_one_task
def test_owner_sees_the_task(people, address, method):
    client = as_(people["anna"])
    finished = of(address, State.DONE, people["anna"])
    unknown = client.generic(method, address.path(uuid.uuid4()))
    answer = client.generic(method, address.path(finished.pk))
    assert address.route.public or seen(answer) != seen(unknown)


@each_of_one_task
@pytest.mark.seed("S002-38")
def test_colleague_sees_the_task_unless_it_is_per_owner(people, address, method):
    with override_settings(ASYNC_EXCHANGE=exchange(OWNER="tests.services.company")):
        task = stored(State.DONE, owner=people["anna"], account="one", dialect=address.mount.name, answer=b"{}")
        client = as_(people["ivan"])
        is_hidden = seen(client.generic(method, address.path(task.pk))) == seen(
            client.generic(method, address.path(uuid.uuid4()))
        )
    assert is_hidden == (address.mount.PER_OWNER or address.route.public)


def test_list_has_tasks_of_the_own_account_only(people):
    for name in ("anna", "otto"):
        for _ in range(5):
            stored(State.DONE, owner=people[name])
    for name in ("anna", "otto"):
        rows = as_(people[name]).get(BASE).json()["rows"]
        assert {row["id"] for row in rows} == {str(task.pk) for task in AsyncTask.objects.of_owner(people[name].pk)}


@pytest.mark.parametrize("query", ["", "state!=DONE", "state=DONE;state=PENDING", "deletionDate=", "request!=x"])
def test_filters_do_not_widen_the_list(people, query):
    for state in State:
        stored(state, owner=people["otto"])
    assert as_(people["anna"]).get(f"{BASE}?filter={query}").json()["meta"]["size"] == 0


@pytest.mark.seed("S001-23", "S001-54")
def test_list_has_tasks_of_its_own_mount_only(people):
    stored(owner=people["anna"], dialect="kladana")
    assert as_(people["anna"]).get(BASE).json()["rows"] == []


def test_list_without_credentials_is_a_401():
    response = as_(None).get(BASE)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (401, 1056)


def test_anonymous_client_reads_anonymous_tasks_only(people):
    with override_settings(ASYNC_EXCHANGE=exchange(ALLOW_ANONYMOUS=True)):
        nobodys, annas = stored(), stored(owner=people["anna"])
        found = [as_(None).get(f"{BASE}/{task.pk}").status_code for task in (nobodys, annas)]
    assert found == [200, 404]


# URLs -----------------------------------------------------------------------------------------------------------------


MALFORMED = [
    "x",
    "0",
    "498b8673",
    "498b86730308-11e6-9464-e4de00000089-0",
    "498b8673030811e69464e4de00000089",
    "{98b8673-0308-11e6-9464-e4de0000008}",
    "urn:uuid:498b8673-0308-11e6-9464-e4d",
    "498b8673-0308-11e6-9464-e4de0000008g",
    "498b8673-0308-11e6-9464-e4de000000890",
    "4-98b86730308-11e6-9464-e4de00000089",
    "٤98b8673-0308-11e6-9464-e4de00000089",
    "é" * 36,
    "'" * 36,
    "%00" * 36,
    "%20",
]


@each_of_one_task
def test_malformed_id_is_a_404(people, address, method):
    client = as_(people["anna"])
    for id in MALFORMED:
        response = client.generic(method, address.path(id))
        assert response.status_code == (403 if address.route.public else 404), id
        assert is_worded(address, response)


@pytest.mark.parametrize("id", MALFORMED)
def test_moysklad_has_different_codes_for_malformed_and_unknown_ids(people, id):
    client = as_(people["anna"])
    codes = [client.get(f"{BASE}/{text}").json()["errors"][0]["code"] for text in (id, uuid.uuid4())]
    assert codes == [1002, 1021]


def test_id_may_be_in_upper_case(people):
    task = stored(owner=people["anna"])
    assert as_(people["anna"]).get(f"{BASE}/{str(task.pk).upper()}").status_code == 200


@pytest.mark.product()
@each_address
@pytest.mark.parametrize("slash", ["", "/"], ids=["without slash", "with slash"])
@pytest.mark.seed("S002-35")
def test_url_works_with_and_without_trailing_slash(people, address, slash):
    method = next(iter(address.verbs))
    path = address.path(of(address, State.DONE, people["anna"]).pk).rstrip("/") + slash
    answer = as_(people["anna"]).generic(method, path)
    assert answer.status_code not in (301, 404, 405)


@pytest.mark.product()
@each_address
@pytest.mark.parametrize("method", [*METHODS, "OPTIONS", "TRACE", "BREW"])
def test_other_method_is_a_405_with_allow(people, address, method):
    response = as_(people["anna"]).generic(method, address.path(uuid.uuid4()))
    assert (response.status_code == 405) == (method not in address.verbs)
    if response.status_code == 405:
        assert response["Allow"] == ", ".join(sorted(address.verbs))
        assert is_worded(address, response)


@pytest.mark.parametrize("address", [address for address in ADDRESSES if "GET" in address.verbs], ids=by_name)
def test_head_is_get_without_a_body(people, address):
    path = address.path(of(address, State.DONE, people["anna"]).pk)
    client = as_(people["anna"])
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")


@pytest.mark.product()
@pytest.mark.parametrize("address", NOWHERE, ids=by_name)
@pytest.mark.parametrize("method", [*METHODS, "OPTIONS"])
@pytest.mark.parametrize("rest", ["/no/such/address/at/all", "/no/such//"])
def test_404_below_a_prefix_has_the_dialects_format(people, address, method, rest):
    segment = re.escape(address.name.removeprefix(f"{address.mount.name}-").removesuffix("-nothing"))
    response = as_(people["anna"]).generic(method, f"{address.mount.prefix}/{segment}{rest}")
    assert response.status_code == 404
    assert is_worded(address, response)


def test_every_mount_has_a_404_pattern():
    assert {address.mount.name for address in NOWHERE} == {address.mount.name for address in ADDRESSES}


@pytest.mark.parametrize("address", [address for address in ADDRESSES if not address.route.public], ids=by_name)
def test_exception_of_the_project_is_a_500_in_the_dialects_format(people, address, caplog):
    with override_settings(ASYNC_EXCHANGE=exchange(OWNER="tests.services.confused")):
        method = next(iter(address.verbs))
        response = as_(people["anna"]).generic(method, address.path(uuid.uuid4()))
    assert response.status_code == 500
    assert is_worded(address, response)
    assert "whose is it?" in caplog.text
    assert b"whose" not in response.content


@each_address
def test_response_has_no_store(people, address):
    method = next(iter(address.verbs))
    response = as_(people["anna"]).generic(method, address.path(uuid.uuid4()))
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("address", [address for address in ADDRESSES if "GET" in address.verbs], ids=by_name)
def test_site_wide_cache_middleware_stores_nothing(people, address, settings):
    site = "django.middleware.cache.{}CacheMiddleware".format
    settings.MIDDLEWARE = [site("Update"), site("FetchFrom"), *settings.MIDDLEWARE]
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": address.name}
    }
    task = of(address, State.PROCESSING, people["anna"])
    hers, theirs = as_(people["anna"]), as_(people["otto"])
    kept = [client.get(address.path(task.pk)).headers.get("Cache-Control") for client in (hers, theirs) for _ in "12"]
    assert len(cache._cache) == 0, kept


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=0", ""])
def test_accept_header_is_ignored(people, accept):
    task = stored(owner=people["anna"])
    response = as_(people["anna"]).get(f"{BASE}/{task.pk}", headers={"Accept": accept})
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


# Cancel ---------------------------------------------------------------------------------------------------------------


@pytest.mark.seed("S002-62", "S002-63", "S002-64")
@pytest.mark.parametrize("state", [State.PENDING, State.PROCESSING])
def test_unfinished_task_can_be_cancelled(people, state):
    task = stored(state, owner=people["anna"])
    response = as_(people["anna"]).put(f"{BASE}/{task.pk}/cancel")
    assert (response.status_code, response.content) == (204, b"")
    assert AsyncTask.objects.get().state == State.CANCEL


@pytest.mark.parametrize("state", [State.DONE, State.ERROR, State.API_ERROR, State.CANCEL])
def test_finished_task_cannot_be_cancelled(people, state):
    task = stored(state, owner=people["anna"])
    response = as_(people["anna"]).put(f"{BASE}/{task.pk}/cancel")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (412, 61007)
    assert AsyncTask.objects.get().state == state


def test_dialect_gets_the_cancelled_task(people, monkeypatch):
    def worded(self, task, context):
        return json_response({"state": task.state, "is_finished": task.finished is not None})

    monkeypatch.setattr(Prefer, "cancelled", worded)
    task = stored(State.PENDING, owner=people["anna"], dialect="prefer")
    for _ in "12":
        assert as_(people["anna"]).delete(f"/async/tasks/{task.pk}").json() == {"state": "CANCEL", "is_finished": True}


def test_body_of_a_cancellation_is_ignored(people):
    task = stored(owner=people["anna"])
    response = as_(people["anna"]).put(f"{BASE}/{task.pk}/cancel", b"{broken", content_type="application/json")
    assert response.status_code == 204


# Result ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (State.PENDING, 412, 61006),
        (State.PROCESSING, 412, 61006),
        (State.ERROR, 412, 61004),
        (State.CANCEL, 412, 61005),
    ],
)
def test_result_of_a_task_without_response_has_the_reasons_code(people, state, status, code):
    task = stored(state, owner=people["anna"])
    response = as_(people["anna"]).get(f"{BASE}/{task.pk}/result")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)


@pytest.mark.seed("S001-44", "S001-45", "S002-52")
def test_result_of_an_api_error_is_its_response(people):
    content = b'{"errors":[{"error":"no","code":1016}]}'
    task = stored(State.API_ERROR, owner=people["anna"], answer=content, status_code=403)
    response = as_(people["anna"]).get(f"{BASE}/{task.pk}/result")
    assert (response.status_code, response.content) == (403, content)


@pytest.mark.seed("S001-42", "S002-51")
def test_expired_result_is_a_404(people):
    task = stored(State.DONE, owner=people["anna"], answer=b"{}", deletion_date=soon(seconds=-1))
    response = as_(people["anna"]).get(f"{BASE}/{task.pk}/result")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 61003)


@pytest.mark.parametrize("verb", ["result", "replay"])
def test_expired_solitude_result_is_a_404(people, verb):
    task = stored(State.DONE, owner=people["anna"], dialect="solitude", answer=b"{}", deletion_date=soon(seconds=-1))
    response = as_(people["anna"]).get(f"/delay/{verb}/{task.pk}/")
    assert (response.status_code, response["Solitude-Async"], response.content) == (404, "no", b"")


# Signed link ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def report(people):
    """A finished report of Anna's."""
    return stored(State.DONE, owner=people["anna"], answer=b'{"rows":[]}')


def link(task, *, age=0.0):
    """The download URL as it was issued ``age`` seconds ago."""
    dialect = conf.dialect("moysklad")
    now = AsyncTask.objects.with_now().get(pk=task.pk).now - dt.timedelta(seconds=age)
    answer = dialect.result(task.snapshot(), render_context.context(RequestFactory().get("/"), dialect, now=now))
    [location] = [text for name, text in answer.headers if name == "Location"]
    return location.removeprefix("http://testserver")


def refused(path):
    response = as_(None).get(path)
    return (response.status_code, response.json()["errors"][0]["code"]) == (403, 1016)


@pytest.mark.seed("S001-33", "S002-47", "S002-49")
def test_result_is_a_302_with_an_empty_body(people, report):
    response = as_(people["anna"]).get(f"{BASE}/{report.pk}/result")
    assert (response.status_code, response.content) == (302, b"")
    assert parse_qs(urlsplit(response["Location"]).query).keys() == {"temp_url_sig", "temp_url_expires", "filename"}


@pytest.mark.seed("S001-35", "S002-48")
def test_signed_link_works_without_credentials(people, report):
    location = as_(people["anna"]).get(f"{BASE}/{report.pk}/result")["Location"]
    response = as_(None).get(location)
    assert (response.status_code, response.content) == (200, b'{"rows":[]}')
    assert response["Content-Type"] == "application/json"


def test_invalid_credentials_are_ignored(report):
    response = as_(None).get(link(report), headers={"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="})
    assert response.status_code == 200


def test_credentials_of_another_account_are_ignored(people, report):
    assert as_(people["otto"]).get(link(report)).status_code == 200


def test_download_is_an_attachment_and_not_cached(report):
    response = as_(None).get(link(report))
    assert response["Content-Disposition"].startswith("attachment;")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox"
    assert response["Cache-Control"] == "no-store"


@pytest.mark.seed("S001-36", "S002-50")
def test_link_is_valid_before_five_minutes(report):
    assert as_(None).get(link(report, age=298)).status_code == 200


@pytest.mark.seed("S001-36", "S002-50")
def test_link_is_invalid_after_five_minutes(report):
    assert refused(link(report, age=301))


def test_link_expires_with_the_result(report):
    AsyncTask.objects.update(deletion_date=soon(seconds=10))
    report.refresh_from_db()
    expires = int(parse_qs(urlsplit(link(report)).query)["temp_url_expires"][0])
    assert expires <= report.deletion_date.timestamp()


@pytest.mark.parametrize("place", range(64))
def test_changed_digit_of_the_signature_is_refused(report, place):
    def change(match):
        digits = match[1]
        return f"temp_url_sig={digits[:place]}{'0' if digits[place] != '0' else '1'}{digits[place + 1 :]}"

    assert refused(re.sub(r"temp_url_sig=([0-9a-f]{64})", change, link(report)))


@pytest.mark.parametrize(
    "query",
    [
        "",
        "temp_url_sig=",
        "temp_url_expires=1",
        "temp_url_sig=%s&temp_url_expires=99999999999",
        "temp_url_sig=%s&temp_url_expires=-1",
        "temp_url_sig=%s&temp_url_expires=٩",
        "temp_url_sig=%s&temp_url_expires=" + "9" * 5000,
        "temp_url_sig=é&temp_url_expires=1",
        "temp_url_sig=%%ff&temp_url_expires=1",
        "temp_url_sig=%%00&temp_url_expires=%%00",
    ],
)
def test_forged_link_is_refused(report, query):
    [signature] = parse_qs(urlsplit(link(report)).query)["temp_url_sig"]
    query = query.replace("%s", signature).replace("%%", "%")
    assert refused(f"{BASE}/{report.pk}/download?{query}")


def test_link_is_valid_for_one_task(people, report):
    other = stored(State.DONE, owner=people["anna"], answer=b"secret")
    assert refused(link(report).replace(str(report.pk), str(other.pk)))


def test_link_is_valid_for_one_mount(report):
    moved = link(report).replace("/api/", "/kladana/api/")
    assert refused(moved)


def test_link_is_valid_for_one_attempt(report):
    path = link(report)
    AsyncTask.objects.update(attempt=2)
    assert refused(path)


@pytest.mark.parametrize("state", [state for state in State if state is not State.DONE])
def test_link_to_a_task_that_is_not_done_is_refused(report, state):
    path = link(report)
    AsyncTask.objects.update(state=state)
    assert refused(path)


def test_link_to_a_deleted_task_is_refused(report):
    path = link(report)
    report.delete()
    assert refused(path)


def test_link_to_an_expired_result_is_a_404(report):
    path = link(report)
    AsyncTask.objects.update(deletion_date=soon(seconds=-1))
    response = as_(None).get(path)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (404, 61003)


@pytest.mark.seed("S001-34")
def test_filename_parameter_is_ignored(report):
    path = re.sub("filename=.*", "filename=../../etc/passwd", link(report))
    response = as_(None).get(path)
    assert response["Content-Disposition"] == f'attachment; filename="asynctask_{report.pk}_result.json"'


def test_link_is_valid_after_a_secret_key_rotation(report, settings):
    path = link(report)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new key"
    assert as_(None).get(path).status_code == 200


# List -----------------------------------------------------------------------------------------------------------------


def listed(people, query="", base=BASE):
    response = as_(people["anna"]).get(f"{base}{query}")
    assert response.status_code == 200, response.content
    return response.json()


@pytest.mark.seed("S002-40")
def test_list_goes_back_one_week(people):
    inside = stored(owner=people["anna"], created=soon(days=-7, minutes=1))
    stored(owner=people["anna"], created=soon(days=-7, minutes=-1))
    assert [row["id"] for row in listed(people)["rows"]] == [str(inside.pk)]


def test_list_is_newest_first(people):
    tasks = [stored(owner=people["anna"], created=soon(minutes=minutes)) for minutes in (-2, -1, -3)]
    assert [row["id"] for row in listed(people)["rows"]] == [str(tasks[index].pk) for index in (1, 0, 2)]


@pytest.fixture
def seven(people):
    """Anna's tasks, the newest first."""
    return [str(stored(owner=people["anna"], created=soon(minutes=-minutes)).pk) for minutes in range(7)]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?limit=3", slice(0, 3)),
        ("?limit=3&offset=3", slice(3, 6)),
        ("?limit=3&offset=6", slice(6, 7)),
        ("?limit=3&offset=7", slice(7, 7)),
        ("?offset=5", slice(5, 7)),
        ("?offset=1000000000000000000000000000", slice(7, 7)),
        ("?limit=5000", slice(0, 7)),
    ],
)
def test_limit_and_offset_select_the_page(people, seven, query, shown):
    assert [row["id"] for row in listed(people, query)["rows"]] == seven[shown]


@pytest.mark.seed("S001-32")
def test_size_counts_all_pages(people, seven):
    assert listed(people, "?limit=3&offset=3")["meta"]["size"] == 7


def test_next_href_leads_through_the_whole_list(people, seven):
    page, ids = listed(people, "?limit=2"), []
    while True:
        ids += [row["id"] for row in page["rows"]]
        if "nextHref" not in page["meta"]:
            break
        page = as_(people["anna"]).get(page["meta"]["nextHref"]).json()
    assert ids == seven


def test_previous_href_leads_back(people, seven):
    page = listed(people, "?limit=3&offset=4")
    previous = as_(people["anna"]).get(page["meta"]["previousHref"]).json()
    assert [row["id"] for row in previous["rows"]] == seven[1:4]


def test_first_page_has_no_previous_href(people, seven):
    assert "previousHref" not in listed(people, "?limit=3")["meta"]


def queries_of(people, query=""):
    client = as_(people["anna"])
    client.get(BASE)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(f"{BASE}{query}").status_code == 200
    return [query["sql"] for query in queries]


@pytest.mark.parametrize("state", State)
def test_long_list_takes_no_more_queries_than_a_short_one(people, state):
    for _ in range(5):
        stored(state, owner=people["anna"], answer=b'{"errors":[]}')
    short = queries_of(people)
    for _ in range(45):
        stored(state, owner=people["anna"], answer=b'{"errors":[]}')
    assert len(listed(people)["rows"]) == 50
    assert len(queries_of(people)) == len(short)


@pytest.mark.parametrize("state", [state for state in State if state is not State.API_ERROR])
def test_list_reads_no_bodies(people, state):
    stored(state, owner=people["anna"], answer=b"x" * 1000)
    assert not [sql for sql in queries_of(people) if Body._meta.db_table in sql]


# Conditional requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("moysklad", f"{BASE}/{{id}}"), ("prefer", "/async/operations/{id}"), ("prefer", "/async/tasks")],
)
def test_unchanged_status_is_a_304(people, dialect, path):
    task = stored(State.PROCESSING, owner=people["anna"], dialect=dialect)
    client, address = as_(people["anna"]), path.format(id=task.pk)
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert (again["ETag"], again["Cache-Control"]) == (first["ETag"], first["Cache-Control"])
    AsyncTask.objects.filter(pk=task.pk).update(state=State.CANCEL)
    changed = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert (changed.status_code, changed["ETag"] != first["ETag"]) == (200, True)


def test_202_has_no_etag(people):
    task = stored(State.PROCESSING, owner=people["anna"], dialect="prefer")
    answer = as_(people["anna"]).get(f"/async/tasks/{task.pk}", headers={"If-None-Match": "*"})
    assert (answer.status_code, "ETag" in answer) == (202, False)
