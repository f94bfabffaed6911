"""Cookies and CSRF tokens of held calls, by real servers: each with patience beside without it.

The connection that waits gets the cookies of its run, and nobody else ever does.
"""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client, override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.models import AsyncTask, Delivery, Webhook, Worker
from django_asyncexchange.protocol.states import State
from django_asyncexchange.protocol.values import Owner
from django_asyncexchange.tasks import personal_data, presence, pruning
from django_asyncexchange.tasks.submit import rerun

from ..project.cookies import CANARY
from ..project.serving import asgi_server, ask, wsgi_server
from ..services import IDLE, exchange, run_alone, soon, until
from .test_credential_leaks import found, recording

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.project.cookies"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning"),
]

INLINE = "django_asyncexchange.executors.inline.Inline"
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module", autouse=True)
def notifier_has_ended(django_db_setup):
    """It keeps its connection for a moment, in which the database cannot be dropped."""
    yield
    until(lambda: all(thread.name != "asyncexchange-notifier" for thread in threading.enumerate()))


@pytest.fixture(autouse=True)
def worker(db, monkeypatch):
    """There is a worker, although nothing runs by itself."""
    monkeypatch.setattr(presence, "_last_seen", -presence.SEEN_SECONDS)
    Worker.objects.create(name="here", heard=soon(seconds=-1))


@pytest.fixture
def anna(db):
    return User.objects.create_user("anna")


class Browser(requests.Session):
    """A browser of ``user`` at a server on loopback."""

    def __init__(self, port, user):
        super().__init__()
        self.port = port
        client = Client()
        client.force_login(user)
        self.cookies.set("sessionid", client.cookies["sessionid"].value)

    def request(self, method, path, *args, **kwargs):
        if path.startswith("/"):
            path = f"http://127.0.0.1:{self.port}{path}"
        return super().request(method, path, *args, timeout=20, **kwargs)

    def lines(self, path, **cookies):
        """The status, the lines of ``Set-Cookie`` and the body of a call without the jar."""
        jar = {"sessionid": self.cookies["sessionid"], **cookies}
        header = "; ".join(f"{name}={text}" for name, text in jar.items())
        status, _, headers, body = ask(self.port, "GET", path, headers={"Cookie": header})
        lines = [
            re.sub(r"expires=[^;]* \d\d:\d\d:\d\d GMT", "expires=then", text) for text in of(headers, "Set-Cookie")
        ]
        return status, lines, of(headers, "Vary"), body


def of(headers, name):
    return [text.replace("Prefer, ", "") for key, text in headers if key.lower() == name.lower()]


@pytest.fixture(params=[wsgi_server, asgi_server], ids=["WSGI", "ASGI"])
def server(request, db):
    return request.param


@pytest.fixture
def browser(server, anna):
    with server() as port:
        yield Browser(port, anna)


def patient(seconds=20, executor=INLINE, **changes):
    return override_settings(ASYNC_EXCHANGE=exchange(PATIENCE=seconds, EXECUTOR=executor, **changes))


def with_middleware(*names):
    """The project's middleware, and outer ones of ``tests.project.cookies``."""
    outer = [f"tests.project.cookies.{name}" for name in names]
    return override_settings(MIDDLEWARE=[*outer, *conf.project("MIDDLEWARE")])


# As without patience --------------------------------------------------------------------------------------------------

PATHS = ["several/", "several/404/", "several/500/", "asynchronous/", "stream/", "asynchronous-stream/", "moved/"]
PATHS += ["cacheable/", "plain/", "ensured/", "logs-in/"]


@pytest.mark.parametrize("path", PATHS)
def test_held_call_gets_the_cookies_of_its_view(browser, path):
    known = {"csrftoken": "s" * 32, "plain": "earlier", "aged": "0"}
    now = browser.lines(f"/cookies/{path}", **known)
    with patient():
        later = browser.lines(f"/cookies/{path}", **known)
    task = AsyncTask.objects.get()
    assert task.response_cookies == ""
    if path == "logs-in/":  # the session of a run is not kept, and its secret is not that of the login
        assert [line.partition("=")[0] for line in later[1]] == ["csrftoken"]
        return
    assert later == now
    assert len(later[1]) >= {"plain/": 0, "ensured/": 1}.get(path, 7)


def test_not_modified_response_has_the_cookies(browser):
    header = {"Cookie": f"sessionid={browser.cookies['sessionid']}", "If-None-Match": '"one"'}
    with patient():
        status, _, headers, _ = ask(browser.port, "GET", "/cookies/cacheable/", headers=header)
    assert (status, len(of(headers, "Set-Cookie")) >= 7) == (304, True)


def test_cookies_of_a_run_in_another_thread_arrive(browser):
    def work():
        try:
            run_alone(until(AsyncTask.objects.filter(state=State.PENDING).first).pk)
        finally:
            connections.close_all()

    with patient(executor=IDLE), ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        response = browser.get("/cookies/several/")
        running.result()
    assert response.cookies["plain"] == CANARY
    assert AsyncTask.objects.get().response_cookies == ""


def test_form_leads_to_its_message(browser):
    for seconds in (0, 20):
        with patient(seconds):
            token = browser.get("/cookies/form/").text.removeprefix("token=")
            saved = browser.post("/cookies/form/", {"name": "one", "csrfmiddlewaretoken": token})
            assert (saved.status_code, saved.text, len(saved.history)) == (200, "Saved one", 1)
            assert browser.get("/cookies/next/").text == ""
            assert "messages" not in browser.cookies
    assert AsyncTask.objects.count() == 4


def test_form_that_is_shown_again_can_be_submitted(browser):
    with patient():
        for name in ("", "", "two"):
            token = browser.get("/cookies/form/").text.removeprefix("token=")
            answer = browser.post("/cookies/form/", {"name": name, "csrfmiddlewaretoken": token})
            token = answer.text.removeprefix("token=")
    assert answer.text == "Saved two"


def test_message_beside_a_waiting_one_is_added(browser):
    with patient():
        token = browser.get("/cookies/form/").text.removeprefix("token=")
        for name in ("one", "two"):
            browser.post("/cookies/form/", {"name": name, "csrfmiddlewaretoken": token}, allow_redirects=False)
        assert browser.get("/cookies/next/").text == "Saved one, Saved two"


def test_language_that_is_chosen_is_kept(browser):
    with patient():
        token = browser.get("/cookies/form/").text.removeprefix("token=")
        values = {"language": "ru", "next": "/cookies/plain/", "csrfmiddlewaretoken": token}
        browser.post("/cookies/language/", values)
        assert browser.cookies["django_language"] == "ru"
        assert browser.get("/cookies/plain/").headers["Content-Language"] == "ru"


# CSRF -----------------------------------------------------------------------------------------------------------------


def submitted(browser, page):
    """The status of a form of ``page``, submitted."""
    token = page.text.removeprefix("token=")
    form = {"name": "x", "csrfmiddlewaretoken": token}
    return browser.post("/cookies/form/", form, allow_redirects=False).status_code


def test_form_of_a_new_browser_can_be_submitted(browser):
    with patient():
        page = browser.get("/cookies/form/")
        assert page.headers["Vary"].count("Cookie") == 1
        assert submitted(browser, page) == 302


def test_form_of_a_browser_keeps_its_secret(browser):
    secret = "s" * 32
    browser.cookies.set("csrftoken", secret)
    with patient():
        page = browser.get("/cookies/form/")
        assert page.cookies["csrftoken"] == secret
        assert submitted(browser, page) == 302


def test_token_of_another_secret_is_refused(browser):
    with patient():
        page = browser.get("/cookies/form/")
        del browser.cookies["csrftoken"]
        browser.cookies.set("csrftoken", "t" * 32)
        assert submitted(browser, page) == 403


def test_form_of_a_later_call_can_be_submitted(browser):
    """It was not held: the browser fetches the page at another address."""
    browser.cookies.set("csrftoken", "s" * 32)
    accepted = browser.get("/cookies/form/", headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    page = browser.get(accepted.headers["Location"])
    assert (page.history[0].status_code, submitted(browser, page)) == (303, 302)


@pytest.mark.parametrize("known", ["s" * 32, ""], ids=["with a cookie", "new"])
@pytest.mark.parametrize("sessions", [False, True], ids=["cookie", "session"])
def test_form_of_a_redirected_browser_can_be_submitted(server, anna, known, sessions):
    with override_settings(CSRF_USE_SESSIONS=sessions), server() as port:
        browser = Browser(port, anna)
        if known:
            browser.cookies.set("csrftoken", known)
        with patient(0.01, IDLE):
            slow = browser.get("/cookies/form/", headers=HTML, allow_redirects=False)
            assert slow.status_code == 303
            run_alone(AsyncTask.objects.get().pk)
        page = browser.get(slow.headers["Location"])
        assert submitted(browser, page) == 302


@pytest.mark.parametrize("seconds", [0.01, 20], ids=["redirected", "held"])
def test_secret_that_a_decorator_reads_is_used(server, anna, seconds):
    """The project is without the middleware."""
    without = [name for name in conf.project("MIDDLEWARE") if not name.endswith("CsrfViewMiddleware")]
    with override_settings(MIDDLEWARE=without), server() as port:
        browser, secret = Browser(port, anna), "s" * 32
        browser.cookies.set("csrftoken", secret)
        with patient(seconds, IDLE if seconds < 1 else INLINE):
            page = browser.get("/cookies/protected/", allow_redirects=False)
            if page.status_code == 303:
                run_alone(AsyncTask.objects.get().pk)
                page = browser.get(page.headers["Location"])
        token = page.text.removeprefix("token=")
        assert AsyncTask.objects.count() == 1
        assert browser.post("/cookies/protected/", {"csrfmiddlewaretoken": token}).status_code == 200
        assert browser.post("/cookies/protected/", {"csrfmiddlewaretoken": "t" * 32}).status_code == 403


def test_redirected_browser_with_a_secret_gets_no_cookie(browser):
    browser.cookies.set("csrftoken", "s" * 32)
    with patient(0.01, IDLE):
        assert "Set-Cookie" not in browser.get("/cookies/form/", headers=HTML, allow_redirects=False).headers


def test_redirected_client_that_shows_no_pages_gets_no_cookie(browser):
    with patient(0.01, IDLE):
        assert "Set-Cookie" not in browser.get("/cookies/form/", allow_redirects=False).headers


def test_secret_in_the_session_is_used_and_kept(server, anna):
    with override_settings(CSRF_USE_SESSIONS=True), server() as port, patient():
        browser = Browser(port, anna)
        page = browser.get("/cookies/form/")
        assert "csrftoken" not in page.cookies
        kept = Session.objects.get().get_decoded()["_csrftoken"]
        assert submitted(browser, page) == 302
        assert submitted(browser, browser.get("/cookies/form/")) == 302
        assert Session.objects.get().get_decoded()["_csrftoken"] == kept


def test_call_without_a_form_writes_no_secret_to_the_session(server, anna):
    with override_settings(CSRF_USE_SESSIONS=True), server() as port, patient():
        assert Browser(port, anna).get("/cookies/plain/").text == "plain"
    assert "_csrftoken" not in Session.objects.get().get_decoded()


def test_secret_exempts_no_run_from_the_check(browser):
    """A run whose call did not pass the check is refused, whatever its form contains."""
    secret = "s" * 32
    browser.cookies.set("csrftoken", secret)
    later = {"Prefer": "respond-async"}
    with patient(0, IDLE):
        accepted = browser.post("/cookies/form/", {"csrfmiddlewaretoken": secret, "name": "x"}, headers=later)
        assert accepted.status_code == 202
        task = AsyncTask.objects.get()
        call = task.captured
        assert (call.is_checked, call.csrf_secret) == (True, secret)
        unchecked = {name: getattr(call, name) for name in call.__dataclass_fields__} | {"is_checked": False}
        AsyncTask.objects.update(request=unchecked)
        run_alone(task.pk)
    assert AsyncTask.objects.get().status_code == 403


# Cookies of middleware ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [{}, {"visitor": "mine"}], ids=["new", "known"])
def test_middleware_of_the_run_replaces_no_cookie_of_the_browser(server, anna, known):
    """The run has not seen it."""
    with with_middleware("Visitor"), server() as port:
        browser = Browser(port, anna)
        now = browser.lines("/cookies/several/", **known)
        with patient():
            later = browser.lines("/cookies/several/", **known)
    assert sorted(later[1]) == sorted(now[1])
    assert any(line.startswith("visitor=") for line in later[1]) == (not known)


def test_cookie_of_an_outer_middleware_wins(server, anna):
    with with_middleware("Outer"), server() as port:
        browser = Browser(port, anna)
        now = browser.lines("/cookies/several/")
        with patient():
            later = browser.lines("/cookies/several/")
    assert later == now
    assert [line for line in later[1] if line.startswith(("plain", "own"))] == ["plain=web; Path=/", "own=web; Path=/"]


# Nobody else ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lost(monkeypatch):
    """The connection is lost at once, while its call counts as held."""

    async def anobody(*_):
        return None

    with monkeypatch.context() as patch:
        patch.setattr("django_asyncexchange.middleware.waiting.until_final", lambda *_: None)
        patch.setattr("django_asyncexchange.middleware.waiting.auntil_final", anobody)
        yield patch


@pytest.fixture
def untaken(browser, lost):
    """A finished task whose cookies nobody has taken."""
    return left_behind(browser, lost)


def left_behind(browser, lost):
    with patient(60, IDLE):
        browser.get("/cookies/several/", headers={"Idempotency-Key": "one"}, allow_redirects=False)
        run_alone(AsyncTask.objects.get().pk)
    lost.undo()
    task = AsyncTask.objects.get()
    assert (task.state, bool(task.response_cookies)) == ("DONE", True)
    return task


def shared(request):
    """``OWNER``: all users have one account."""
    return Owner(account="shared", id=str(request.user.pk))


def has_cookie(response):
    everything = [response, *response.history]
    return any(CANARY in each.text or CANARY in str(each.headers) for each in everything)


@pytest.mark.parametrize("has_webhook", [False, True])
def test_cookies_are_neither_stored_in_clear_nor_logged_nor_sent(browser, anna, lost, has_webhook):
    if has_webhook:
        url = "https://example.org/hook"
        Webhook.objects.create(dialect="prefer", account=str(anna.pk), owner=anna, action="PROCESSED", url=url)
    with recording() as listener:
        left_behind(browser, lost)
        with patient(60, IDLE):
            assert has_cookie(browser.get("/cookies/several/", headers={"Idempotency-Key": "one"}))
    assert Delivery.objects.exists() == has_webhook
    assert found({CANARY}, listener.lines) == set()


def test_no_other_reader_gets_the_cookies(browser, untaken):
    chief = User.objects.create_superuser("chief")
    other = Browser(browser.port, User.objects.create_user("other"))
    admin = Browser(browser.port, chief)
    addresses = [f"/async/tasks/{untaken.pk}", f"/async/tasks/{untaken.pk}/result", "/async/tasks", "/async/tasks?x=1"]
    for reader in (browser, other, admin):
        for address in addresses:
            assert not has_cookie(reader.get(address))
            assert not has_cookie(reader.get(address, headers={"Prefer": "wait=1"}))
    result = browser.get(f"/async/tasks/{untaken.pk}/result")
    assert (result.status_code, result.text) == (200, "several")
    for page in ("/admin/asyncexchange/asynctask/", f"/admin/asyncexchange/asynctask/{untaken.pk}/change/"):
        shown = admin.get(page)
        assert (shown.status_code, has_cookie(shown), untaken.response_cookies in shown.text) == (200, False, False)
    AsyncTask.objects.update(account="shared")
    with override_settings(ASYNC_EXCHANGE=exchange(OWNER=f"{__name__}.shared")):
        result = other.get(addresses[1])
    assert (result.status_code, result.text, has_cookie(result)) == (200, "several", False)
    assert AsyncTask.objects.get().response_cookies


def test_repeat_of_the_call_under_its_key_takes_the_cookies_once(browser, untaken):
    with patient(60, IDLE):
        again = browser.get("/cookies/several/", headers={"Idempotency-Key": "one"})
        third = browser.get("/cookies/several/", headers={"Idempotency-Key": "one"})
    assert (again.cookies.get("plain"), third.cookies.get("plain")) == (CANARY, None)
    assert AsyncTask.objects.get().response_cookies == ""


def test_anonymous_caller_who_has_chosen_the_same_key_gets_no_cookies(server, lost):
    key = {"Idempotency-Key": "one"}
    with server() as port, patient(60, IDLE, ALLOW_ANONYMOUS=True):
        requests.get(f"http://127.0.0.1:{port}/cookies/several/", headers=key, allow_redirects=False)
        run_alone(AsyncTask.objects.get().pk)
        lost.undo()
        assert AsyncTask.objects.get().response_cookies
        other = requests.get(f"http://127.0.0.1:{port}/cookies/several/", headers=key)
    assert (other.text, [*other.cookies], AsyncTask.objects.count()) == ("several", [], 1)


def test_lost_encryption_key_costs_the_cookies_only(browser, untaken):
    AsyncTask.objects.update(response_cookies="gAAAAA")
    with patient(60, IDLE):
        again = browser.get("/cookies/several/", headers={"Idempotency-Key": "one"})
    assert (again.text, again.cookies.get("plain")) == ("several", None)


def test_delete_of_the_result_erases_the_cookies(browser, untaken):
    token = {"X-CSRFToken": "s" * 32}
    browser.cookies.set("csrftoken", "s" * 32)
    assert browser.delete(f"/async/tasks/{untaken.pk}", headers=token).status_code < 300
    assert AsyncTask.objects.get().response_cookies == ""


def test_pruning_erases_cookies_of_expired_results_only(untaken):
    pruning.prune()
    assert AsyncTask.objects.get().response_cookies
    AsyncTask.objects.update(deletion_date=soon(seconds=-1))
    pruning.prune()
    assert AsyncTask.objects.get().response_cookies == ""


def test_erasing_personal_data_erases_the_cookies(anna, untaken):
    personal_data.expire(personal_data.person(anna))
    assert AsyncTask.objects.get().response_cookies == ""


# Where nobody waits ---------------------------------------------------------------------------------------------------


def test_run_that_takes_longer_than_the_patience_keeps_no_cookies(browser):
    with patient(0.01, IDLE):
        browser.get("/cookies/several/", allow_redirects=False)
        AsyncTask.objects.update(created=soon(seconds=-1))
        run_alone(AsyncTask.objects.get().pk)
    task = AsyncTask.objects.get()
    assert (task.state, task.response_cookies) == ("DONE", "")


@pytest.mark.parametrize("prefer", ["respond-async", "respond-async, wait=20"])
def test_call_that_asks_to_be_answered_later_keeps_no_cookies(browser, prefer):
    with patient():
        response = browser.get("/cookies/several/", headers={"Prefer": prefer}, allow_redirects=False)
    assert (response.status_code, has_cookie(response)) == (202 if prefer == "respond-async" else 200, False)
    assert AsyncTask.objects.get().response_cookies == ""


def test_rerun_keeps_no_cookies(browser):
    with patient(KEEP_REQUESTS=True):
        browser.get("/cookies/several/")
        again = rerun(AsyncTask.objects.get())
    again.refresh_from_db()
    assert (again.status_code, again.response_cookies) == (200, "")
