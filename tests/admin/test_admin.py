from __future__ import annotations

import datetime as dt
import html
import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.storage import storages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_asyncexchange.admin.actions import MAX_SELECTED
from django_asyncexchange.admin.listing import CappedPaginator
from django_asyncexchange.models import AsyncTask, Body, encode
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Request
from django_asyncexchange.store import bodies

from ..services import stored

LIST = "/admin/asyncexchange/asynctask/"
ROWS = 2 * CappedPaginator.max_count
JSON = (("Content-Type", "application/json"),)
SCRIPT = "<script>alert(1)</script>"


def call(headers: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    return encode(
        Request(method="GET", scheme="http", host="h", script_name="", path="/p", query="a=1", headers=headers)
    )


def unsaved(state: State = State.DONE, **fields: Any) -> AsyncTask:
    given = {
        "dialect": "solitude",
        "account": "acme",
        "owner_kind": "employee",
        "method": "GET",
        "url": "http://h/p?a=1",
        "request": call(),
        "created": timezone.now(),
        **fields,
    }
    return AsyncTask(state=state.value, **given)


def make(state: State = State.DONE, **fields: Any) -> AsyncTask:
    task = unsaved(state, **fields)
    task.save()
    return task


def attach(task: AsyncTask, content: bytes, kind: str = Body.RESPONSE) -> Body:
    bodies.attach(bodies.write([content], limit=10**8), task_id=task.pk, kind=kind, attempt=0)
    return task.bodies.get(kind=kind)


def answered(content: bytes, content_type: str = "", **headers: str) -> AsyncTask:
    pairs = [["Content-Type", content_type]] if content_type else []
    pairs += [[name.replace("_", "-"), text] for name, text in headers.items()]
    task = make(status_code=200, reason_phrase="OK", response_headers=pairs)
    if content:
        attach(task, content)
    return task


def detail(task: AsyncTask) -> str:
    return f"{LIST}{task.pk}/change/"


@pytest.fixture
def chief(db: None) -> User:
    return User.objects.create_superuser("chief", password="x")


@pytest.fixture
def site(chief: User) -> Client:
    client = Client()
    client.force_login(chief)
    return client


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return answer.content.decode()


def act(client: Client, action: str, *tasks: AsyncTask, **more: str) -> str:
    """The page after the action, with its text unescaped."""
    chosen = {"action": action, "_selected_action": [str(task.pk) for task in tasks], **more}
    answer = client.post(LIST, chosen, follow=True)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def state_of(task: AsyncTask) -> str:
    return AsyncTask.objects.values_list("state", flat=True).get(pk=task.pk)


# The list


def test_list_shows_the_task(site: Client, chief: User):
    began = timezone.now()
    make(
        owner=chief,
        status_code=201,
        started=began,
        finished=began + dt.timedelta(seconds=1.5),
        url="https://shop.example/report?x=1",
    )
    text = page(site, LIST)
    for shown in ("DONE", "solitude", "GET", ">/report?x=1<", "acme", "chief", "201", "1.500 s"):
        assert shown in text


def test_long_url_is_truncated(site: Client):
    make(url="http://h/" + "x" * 500)
    assert "x" * 100 not in page(site, LIST)


@pytest.mark.parametrize(
    "name", ["access_token", "token", "api_key", "key", "password", "X-Amz-Signature", "sig", "client%5Fsecret"]
)
def test_secret_query_parameters_are_not_shown(site: Client, name: str):
    task = make(url=f"http://h/p?page=7&{name}=hunter2#end", request=call((("Referer", f"http://h/?{name}=hunter2"),)))
    for address in (LIST, detail(task), f"{LIST}{task.pk}/history/"):
        assert "hunter2" not in page(site, address)
    assert "page=7" in page(site, LIST)
    act(site, "rerun", task)
    act(site, "prune", task, confirmed="yes")
    assert not [entry for entry in LogEntry.objects.all() if "hunter2" in entry.object_repr + entry.change_message]


def test_list_is_newest_first(site: Client):
    now = timezone.now()
    make(url="http://h/older", created=now - dt.timedelta(days=1))
    make(url="http://h/newer", created=now)
    text = page(site, LIST)
    assert text.index("/newer") < text.index("/older")


@pytest.mark.parametrize(
    "query", ["state__exact=DONE", "dialect=moysklad", "method=POST", "created__gte=2020-01-01T00:00:00Z"]
)
def test_filters_narrow_the_list(site: Client, query: str):
    make(dialect="moysklad", method="POST", url="http://h/wanted")
    make(State.ERROR, url="http://h/other", created=dt.datetime(2010, 1, 1, tzinfo=dt.UTC))
    text = page(site, f"{LIST}?{query}")
    assert "/wanted" in text and "/other" not in text


def test_search_by_id_prefix_url_account_and_owner(site: Client, chief: User):
    wanted = make(owner=chief, account="umbrella", url="http://h/wanted", id="0123abcd-89ab-4def-8123-456789abcdef")
    make(url="http://h/other", id="fedc0000-89ab-4def-8123-456789abcdef")
    for term in (str(wanted.pk), uuid.UUID(str(wanted.pk)).hex, "0123abcd", "0123ABCD-89", "want", "umbrel", "chie"):
        text = page(site, f"{LIST}?q={term}")
        assert "/wanted" in text and "/other" not in text, term


def test_search_finds_an_id_inside_a_url(site: Client):
    inner = uuid.uuid4()
    make(url=f"http://h/wanted/{inner}")
    assert "/wanted" in page(site, f"{LIST}?q={inner}")


def test_search_and_filter_combine(site: Client):
    make(id="0123abcd-89ab-4def-8123-456789abcdef", url="http://h/wrong-state")
    assert "wrong-state" not in page(site, f"{LIST}?q=0123abcd&state__exact=ERROR")


@pytest.mark.parametrize(
    "query", ["q=%00", "q=" + "f" * 33, "p=999", "state__exact=NONE", "created__gte=x", "o=9", "q='"]
)
def test_odd_queries_are_no_server_error(site: Client, query: str):
    make()
    assert site.get(f"{LIST}?{query}", follow=True).status_code == 200


# Many rows


@pytest.fixture(scope="class")
def many_rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    start = timezone.now() - dt.timedelta(days=30)
    states = list(State)
    with django_db_blocker.unblock():
        owners = User.objects.bulk_create([User(username=f"owner{number}") for number in range(200)])
        AsyncTask.objects.bulk_create(
            (
                unsaved(
                    states[number % len(states)],
                    owner=owners[number % len(owners)],
                    created=start + dt.timedelta(seconds=number),
                    url=f"http://h/{number}",
                )
                for number in range(ROWS)
            ),
            batch_size=2000,
        )
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE TABLE asyncexchange_asynctask" if connection.vendor == "mysql" else "ANALYZE")
        yield
        AsyncTask.objects.all()._raw_delete(connection.alias)  # no cascade, which would find nothing row by row
        User.objects.filter(pk__in=[owner.pk for owner in owners]).delete()


@pytest.mark.xdist_group("many rows")
@pytest.mark.usefixtures("many_rows")
class TestManyRows:
    @pytest.mark.parametrize("query", ["", "p=2", "p=50", "p=100", "state__exact=DONE", "q=owner7", "q=0123abcd"])
    def test_list_page_is_four_queries(self, site: Client, django_assert_num_queries: Any, query: str):
        with django_assert_num_queries(4):  # session, user, count, rows
            assert site.get(f"{LIST}?{query}").status_code == 200

    def test_permissions_of_staff_are_two_more_queries(self, db: None, django_assert_num_queries: Any):
        client = staff("view_asynctask")
        with django_assert_num_queries(6):
            assert client.get(LIST).status_code == 200

    def test_no_query_counts_the_table(self, site: Client):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            page(site, LIST)
        counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
        assert counts and all(f"LIMIT {CappedPaginator.max_count}" in sql for sql in counts)

    def test_last_page_says_where_the_list_ends(self, site: Client):
        assert "Only the first" in page(site, LIST)
        assert "Only the first" not in page(site, f"{LIST}?account=nobody")

    def test_large_columns_are_not_read(self, site: Client):
        with CaptureQueriesContext(connection) as queries:
            page(site, LIST)
        assert not any("response_headers" in query["sql"] for query in queries)

    @pytest.mark.parametrize(
        ("query", "index"), [("", "asyncexchange_newest"), ("?state__exact=ERROR", "asyncexchange_waiting")]
    )
    def test_order_uses_an_index(self, site: Client, query: str, index: str):
        if connection.vendor != "sqlite":
            pytest.skip("reads SQLite's query plan")
        with CaptureQueriesContext(connection) as queries:
            page(site, f"{LIST}{query}")
        rows = queries[-1]["sql"]
        assert "ORDER BY" in rows
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + rows)
            plan = " ".join(row[-1] for row in cursor.fetchall())
        assert index in plan
        assert "SCAN asyncexchange_asynctask USING" in plan or "SEARCH asyncexchange_asynctask USING" in plan

    @pytest.mark.parametrize(("state", "count"), [(State.DONE, 6), (State.ERROR, 7)])
    def test_task_page_is_six_queries_and_one_for_the_failure(
        self, site: Client, django_assert_num_queries: Any, state: State, count: int
    ):
        task = AsyncTask.objects.filter(state=state).order_by("created")[ROWS // 20]
        page(site, detail(task))  # caches the content type
        with django_assert_num_queries(count):  # session, user, task, owner, both bodies
            page(site, detail(task))

    def test_action_on_too_many_tasks_is_refused(self, site: Client):
        some = AsyncTask.objects.filter(state=State.PENDING)[:1].get()
        text = act(site, "cancel", some, select_across="1")
        assert f"at most {MAX_SELECTED} tasks" in text
        assert not AsyncTask.objects.filter(state=State.CANCEL, finished__isnull=False).exists()


# A task


def test_tasks_cannot_be_added_changed_or_deleted(site: Client):
    task = make()
    text = page(site, detail(task))
    assert 'name="_save"' not in text and "deletelink" not in text and "<textarea" not in text
    assert site.get(f"{LIST}add/").status_code == 403
    assert site.post(detail(task), {"state": "PENDING"}).status_code == 403
    assert site.post(f"{LIST}{task.pk}/delete/", {"post": "yes"}).status_code == 403
    assert state_of(task) == "DONE"


def test_unknown_id_redirects(site: Client):
    for wrong in ("nonsense", uuid.uuid4()):
        assert site.get(f"{LIST}{wrong}/change/").status_code == 302


def test_json_is_indented_and_not_escaped(site: Client):
    task = answered(json.dumps({"имя": ["Ёж", 1]}).encode(), "application/json; charset=utf-8")
    assert '{\n  "имя": [\n    "Ёж",\n    1\n  ]\n}' in html.unescape(page(site, detail(task)))


@pytest.mark.parametrize("content", [b'{"a": ', b"[" * 60_000, b'"\\ud800"', b"\xff\xfe", b"1" * 5000])
def test_invalid_json_is_shown_unchanged(site: Client, content: bytes):
    assert f"{len(content)} bytes" in page(site, detail(answered(content, "application/json"))).replace(
        "\xa0", " "
    ).replace(",", "")


def test_text_is_decoded_with_its_charset(site: Client):
    assert "Привет" in page(site, detail(answered("Привет".encode("cp1251"), "text/plain; charset=windows-1251")))


@pytest.mark.parametrize("charset", ["hex", "no-such", "idna", "utf-16"])
def test_odd_charset_is_no_server_error(site: Client, charset: str):
    page(site, detail(answered(b"plain", f"text/plain; charset={charset}")))


def test_form_is_decoded_and_redacted(site: Client):
    task = make(request=call((("Content-Type", "application/x-www-form-urlencoded"),)))
    attach(task, b"city=%D0%A3%D1%84%D0%B0&password=hunter2", Body.REQUEST)
    text = page(site, detail(task))
    assert "Уфа" in text and "hunter2" not in text


def test_multipart_form_is_decoded_and_its_files_are_named(site: Client):
    task = make(request=call((("Content-Type", "multipart/form-data; boundary=xx"),)))
    content = (
        '--xx\r\nContent-Disposition: form-data; name="city"\r\n\r\nУфа\r\n'
        '--xx\r\nContent-Disposition: form-data; name="scan"; filename="Ёж.png"\r\n\r\n12345\r\n--xx--\r\n'
    )
    attach(task, content.encode(), Body.REQUEST)
    text = page(site, detail(task))
    assert "Уфа" in text and "file Ёж.png, 5 bytes" in text and "12345" not in text


def test_binary_is_shown_as_its_first_256_bytes(site: Client):
    text = html.unescape(page(site, detail(answered(bytes(range(256)) * 4, "image/png"))))
    assert "1024 bytes" in text and "the first 256 bytes are shown" in text
    assert "0050  50 51 52 53" in text and "PQRS" in text and "00f0  f0 f1" in text and "0100  00" not in text


def test_compressed_response_is_shown_as_binary(site: Client):
    text = page(site, detail(answered(b"\x1f\x8b\x08\x00", "application/json", Content_Encoding="gzip")))
    assert "1f 8b 08 00" in text


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/json"])
def test_large_body_is_truncated_with_a_note(site: Client, content_type: str):
    task = answered("ж ".encode() * 50_000 + b"the end", content_type)
    assert task.bodies.get().name, "it is in the storage"
    text = page(site, detail(task))
    assert "the first 65536 bytes are shown" in text and "the end" not in text and "ж ж" in text


def test_missing_body_and_response_have_a_note(site: Client):
    assert "No body." in page(site, detail(answered(b"")))
    assert "No response." in page(site, detail(make(State.ERROR, reason="lost")))


def test_unreadable_body_has_a_note(site: Client, caplog: pytest.LogCaptureFixture):
    task = answered(b"x" * 100_000)
    storages["asyncexchange"].delete(task.bodies.get().name)
    with caplog.at_level(logging.CRITICAL, "django_asyncexchange"):
        assert "The stored body cannot be read." in page(site, detail(task))


def test_expired_response_is_not_shown(site: Client):
    task = answered(b"private", "text/plain")
    AsyncTask.objects.filter(pk=task.pk).update(deletion_date=timezone.now() - dt.timedelta(seconds=1))
    text = page(site, detail(task))
    assert "private" not in text and "Past its deletion date." in text


def test_headers_are_a_table_in_order_with_duplicates(site: Client):
    task = make(status_code=200, response_headers=[["Link", "one"], ["X-A", "b"], ["Link", "two"]])
    text = page(site, detail(task))
    assert text.index("<td>one</td>") < text.index("<td>b</td>") < text.index("<td>two</td>")


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/x-www-form-urlencoded", ""])
def test_stored_scripts_are_escaped(site: Client, content_type: str):
    content = json.dumps(SCRIPT).encode() if "json" in content_type else f"{SCRIPT}={SCRIPT}".encode()
    task = make(
        url=f"http://h/{SCRIPT}",
        account=SCRIPT,
        request=call(((SCRIPT, SCRIPT), ("Content-Type", content_type))),
        method=SCRIPT,
        status_code=200,
        reason_phrase=SCRIPT,
        response_headers=[[SCRIPT, SCRIPT], ["Content-Type", content_type]],
    )
    attach(task, content)
    attach(task, content, Body.REQUEST)
    for address in (LIST, detail(task), f"{LIST}?q={SCRIPT}"):
        text = page(site, address)
        assert SCRIPT not in text and "&lt;script&gt;" in text
    confirmation = site.post(LIST, {"action": "prune", "_selected_action": [str(task.pk)]}).content.decode()
    assert SCRIPT not in confirmation


# Actions


def test_cancel_action_cancels_unfinished_tasks_only(site: Client):
    waiting, running, done = make(State.PENDING), make(State.PROCESSING), make(State.DONE)
    text = act(site, "cancel", waiting, running, done)
    assert "2 tasks were cancelled." in text and "1 task was already finished." in text
    assert [state_of(task) for task in (waiting, running, done)] == ["CANCEL", "CANCEL", "DONE"]
    assert LogEntry.objects.filter(change_message="Cancelled.").count() == 2


def test_rerun_action_creates_a_new_task_and_links_to_it(site: Client, chief: User):
    task = make(State.ERROR, method="POST", owner=chief, request=call(JSON))
    attach(task, b'{"a": 1}', Body.REQUEST)
    text = act(site, "rerun", task)
    again = AsyncTask.objects.exclude(pk=task.pk).get()
    assert "1 task was rerun" in text and f'<a href="{detail(again)}">{again.pk}</a>' in text
    assert (again.captured, again.url, again.owner, again.account) == (task.captured, task.url, chief, "acme")
    assert bodies.read(again.bodies.get(kind=Body.REQUEST)) == b'{"a": 1}'
    assert state_of(task) == "ERROR"


def test_rerun_action_refuses_unfinished_tasks(site: Client):
    assert "not rerun: The task is not finished yet." in act(site, "rerun", make(State.PENDING))
    assert AsyncTask.objects.count() == 1


def test_rerun_action_refuses_a_task_without_its_body(site: Client):
    past = timezone.now() - dt.timedelta(days=1)
    task = make(request=call(JSON), method="POST", deletion_date=past)
    assert "The request body has been deleted." in act(site, "rerun", task)
    assert "1 task was rerun" in act(site, "rerun", make(deletion_date=past))


def test_rerun_action_reports_capacity_exceeded(site: Client, settings: Any):
    settings.ASYNC_EXCHANGE = {**settings.ASYNC_EXCHANGE, "DIALECTS": {"moysklad": {"PREFIX": "/r", "CAPACITY": 1}}}
    make(State.PENDING, dialect="moysklad")
    text = act(site, "rerun", make(dialect="moysklad"))
    assert "1 task was not rerun: Too many asynchronous calls are unfinished." in text


def test_rerun_action_reports_an_unmounted_dialect(site: Client):
    assert "The dialect is no longer mounted." in act(site, "rerun", make(dialect="esperanto"))


def test_rerun_action_goes_on_after_an_error(site: Client, caplog: pytest.LogCaptureFixture):
    broken, whole = make(), make()
    body = attach(broken, b"x" * 100_000, Body.REQUEST)
    storages["asyncexchange"].delete(body.name)
    with caplog.at_level(logging.CRITICAL, "django_asyncexchange"):
        text = act(site, "rerun", broken, whole)
    assert "1 task was rerun" in text and "1 task was not rerun" in text


def test_prune_action_asks_for_confirmation(site: Client):
    task = make()
    assert "1 finished task will be deleted" in act(site, "prune", task)
    assert AsyncTask.objects.filter(pk=task.pk).exists()


def test_prune_action_deletes_finished_tasks_with_their_files(site: Client):
    task, running = answered(b"x" * 100_000), make(State.PROCESSING)
    path = Path(storages["asyncexchange"].path(task.bodies.get().name))
    assert path.exists()
    text = act(site, "prune", task, running, confirmed="yes")
    assert "1 task was pruned." in text and "1 unfinished task was not pruned." in text
    assert not path.exists() and not Body.objects.exists()
    assert list(AsyncTask.objects.all()) == [running]
    assert LogEntry.objects.filter(object_id=str(task.pk), action_flag=3).exists()


def test_prune_action_keeps_a_task_whose_file_cannot_be_deleted(
    site: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def refuse(name: str) -> None:
        raise OSError("read-only file system")

    task = answered(b"x" * 100_000)
    monkeypatch.setattr(storages["asyncexchange"], "delete", refuse)
    with caplog.at_level(logging.CRITICAL, "django_asyncexchange"):
        assert "a stored body could not be deleted" in act(site, "prune", task, confirmed="yes")
    assert task.bodies.exists()


# Permissions and language


def test_view_permission_has_no_actions(db: None):
    client = staff("view_asynctask")
    task = make(State.PENDING)
    assert 'name="action"' not in page(client, LIST)
    page(client, detail(task))
    for action in ("cancel", "rerun", "prune", "delete_selected"):
        act(client, action, task, confirmed="yes", post="yes")
    assert state_of(task) == "PENDING" and AsyncTask.objects.count() == 1


@pytest.mark.parametrize(
    ("permission", "actions"), [("change_asynctask", {"cancel", "rerun"}), ("delete_asynctask", {"prune"})]
)
def test_each_action_needs_its_permission(db: None, permission: str, actions: set[str]):
    text = page(staff("view_asynctask", permission), LIST) if make() else ""
    assert {name for name in ("cancel", "rerun", "prune", "delete_selected") if f'value="{name}"' in text} == actions


def test_staff_without_permissions_see_nothing(db: None):
    client = staff()
    task = make()
    page(client, LIST, 403)
    page(client, detail(task), 403)


def test_pages_render_in_russian(site: Client):
    task = answered(b"{}", "application/json")
    site.cookies["django_language"] = "ru"
    for address in (LIST, detail(task)):
        assert 'lang="ru"' in page(site, address)
    act(site, "rerun", task)
    act(site, "cancel", task)


def test_url_of_the_admin():
    assert reverse("admin:asyncexchange_asynctask_changelist") == LIST


def test_progress_is_shown(admin_client):
    task = stored(State.PROCESSING, progress_done=3, progress_total=12, progress_message="on the way")
    page = admin_client.get(reverse("admin:asyncexchange_asynctask_change", args=[task.pk])).content.decode()
    assert "on the way" in page


def test_truncated_file_has_no_size(site: Client):
    task = make(request=call((("Content-Type", "multipart/form-data; boundary=xx"),)))
    head = '--xx\r\nContent-Disposition: form-data; name="{0}"; filename="{0}"\r\n\r\n'
    content = f"{head}1--xx2\r\n{head}{{1}}\r\n--xx--\r\n".format("one", "5" * 100_000)
    attach(task, content.replace('"one"', '"two"').replace('"two"', '"one"', 2).encode(), Body.REQUEST)
    text = page(site, detail(task))
    assert "file one, 6 bytes" in text and "file two, truncated" in text


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", b'{"password": "hunter2", "list": [' + b"1, " * 50_000),
        ("application/x-www-form-urlencoded", b"password=hunter2" + b"&a=1" * 2000),
    ],
    ids=["json", "form"],
)
def test_secrets_of_a_truncated_document_are_not_shown(site: Client, content_type: str, content: bytes):
    assert "hunter2" not in page(site, detail(answered(content, content_type)))
