"""asyncFetch in a real browser, with a real server: the final response, progress, cancellation and lost connections."""

from __future__ import annotations

import contextlib
import gc
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template import Context, Engine
from django.urls import include, path
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.csrf import csrf_exempt

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.worker import runner

from ..pages import ROOT, blocks
from ..project.serving import asgi_server, wsgi_server
from ..project.wire import Wire, wire
from ..receivers import receiving
from ..screens import opened
from ..services import IDLE, exchange, soon, stored, until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
    pytest.mark.full,
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile:ResourceWarning"),
]

EXAMPLE = ROOT / "example_project"
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self' http://127.0.0.1:* http://localhost:*"
VISITOR = f"""<!DOCTYPE html><head><meta http-equiv="Content-Security-Policy" content="{POLICY}"></head>
<script type="module" src="/static/shop/orders.js"></script>"""
SCRIPT = """
import {asyncFetch, resume, AsyncCallError} from "%(origin)s/static/asyncexchange/async-fetch.js";
const site = "%(origin)s", task = "%(task)s", headers = {"X-CSRFToken": "%(token)s"};
const tell = value => fetch("%(direct)s/told/", {method: "POST", body: JSON.stringify(value), mode: "no-cors"});
const seen = async response =>
  [response.status, response.headers.get("X-Own"), response.headers.get("Content-Type"), await response.text()];
const failure = error =>
  ({name: error.name, code: error.code, status: error.status, problem: error.problem && error.problem.code});
try { %(script)s } catch (error) { await tell(failure(error)); }
"""
"""Runs a test's script and tells, past the proxy, what it has seen, or why it failed."""
TOLD: list[Any] = []
SUBMITS: list[tuple[str, str]] = []
"""(method, idempotency key) of the calls of ``ordered``."""
POLLS: list[dict[str, str]] = []
"""Headers of the requests of tasks."""
REFUSALS: list[HttpResponse] = []
"""The responses to the next requests of tasks, instead of their own."""
LOSES: list[Wire] = []
"""The connection that is cut before the next 202 passes it."""


@allow_async
@csrf_exempt
def answers(request, status):
    """Repeats what it was sent."""
    document = {"method": request.method, "body": request.body.decode(), "user": request.user.username}
    return JsonResponse(document, status=status, headers={"X-Own": "kept"})


@csrf_exempt
def ordered(request):
    SUBMITS.append((request.method, request.headers.get("Idempotency-Key", "")))
    return HttpResponse(b"at once", headers={"X-Own": request.headers.get("Prefer", "")})


@csrf_exempt
def told(request):
    TOLD.append(json.loads(request.body))
    return HttpResponse()


def visitor(request):
    login(request, User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponse(PAGE["html"])


def static(request, name):
    """A static file, or what the page runs, which is beside them."""
    if name == "shop/orders.js":
        values = {**PAGE, "token": get_token(request), "origin": f"http://{request.get_host()}"}
        text = PAGE["template"] % values
    else:
        text = Path(finders.find(name) or EXAMPLE / "inventory" / "static" / name).read_text(encoding="utf-8")
    return HttpResponse(text, content_type="text/javascript")


PAGE: dict[str, str] = {}
"""Of the page that is open: ``html``, the ``template`` of its script, and the parts of that."""

urlpatterns = [
    path("", include("django_asyncexchange.urls")),
    path("visitor/", visitor),
    path("static/<path:name>", static),
    path("answers/<int:status>/", answers),
    *(path(name, answers, {"status": 200}) for name in ("orders/", "reports/stock", "api/remap/1.2/report/stock/all")),
    path("ordered/", ordered),
    path("told/", told),
]


class Between(MiddlewareMixin):
    """Sees the requests of tasks, refuses some, and loses responses to calls."""

    def process_request(self, request):
        if request.path.startswith("/async/"):
            POLLS.append({"method": request.method, **request.headers})
            return REFUSALS.pop() if REFUSALS else None
        return None

    def process_response(self, request, response):
        if response.status_code == 202 and LOSES:
            LOSES.pop().cut()
        return response


@pytest.fixture
def anna(settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE)
    settings.MIDDLEWARE = [f"{__name__}.Between", *settings.MIDDLEWARE]
    for kept in (TOLD, SUBMITS, POLLS, REFUSALS, LOSES):
        kept.clear()
    yield User.objects.create(username="anna")
    gc.collect()  # Django may leave the body of a request unclosed whose client has gone: not a later test's warning


@contextlib.contextmanager
def running(script, tmp_path, *, task=None, server=asgi_server, loses=False, html=VISITOR, template=SCRIPT):
    """A browser whose page runs ``script``; yields the proxy to the server, which can be cut."""
    with server() as port, wire(port) as proxy:
        PAGE.update(script=script, task=f"/async/operations/{task.pk}" if task else "")
        PAGE.update(direct=f"http://127.0.0.1:{port}", html=html, template=template)
        LOSES.extend([proxy] if loses else [])
        with opened(f"http://127.0.0.1:{proxy.port}/visitor/", tmp_path):
            yield proxy


def first_told() -> Any:
    return until(lambda: TOLD)[0]


def submitted() -> AsyncTask:
    """The task of the page's call, once it is there."""
    return until(lambda: AsyncTask.objects.first())


# Results --------------------------------------------------------------------------------------------------------------

BOTH = """
const call = {method: "%s", headers, body: %s}, address = site + "/answers/%s/";
await tell([await seen(await fetch(address, call)), await seen(await asyncFetch(address, call))]);
"""


@pytest.mark.parametrize("server", [asgi_server, wsgi_server])
@pytest.mark.parametrize(
    ("method", "body", "status"), [("GET", "undefined", 200), ("POST", '"x=1"', 201), ("PUT", '"x"', 422)]
)
def test_response_is_that_of_the_synchronous_call(anna, tmp_path, server, method, body, status):
    with running(BOTH % (method, body, status), tmp_path, server=server):
        runner.run(str(submitted().pk))
        synchronous, asynchronous = first_told()
    assert synchronous[0] == status and asynchronous == synchronous


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_error_of_the_view_is_its_response(anna, tmp_path, status):
    with running(BOTH % ("GET", "undefined", status), tmp_path):
        runner.run(str(submitted().pk))
        synchronous, asynchronous = first_told()
    assert synchronous[0] == status and asynchronous == synchronous


def test_response_that_is_given_at_once_is_returned_as_it_is(anna, tmp_path):
    call = 'await tell(await seen(await asyncFetch("/ordered/", {method: "POST", headers: {Prefer: "lenient"}})));'
    with running(call, tmp_path):
        assert first_told()[:2] == [200, "lenient, respond-async"]
    [(method, key)] = SUBMITS
    assert method == "POST" and len(key) >= 32


@pytest.mark.parametrize(
    ("state", "fields", "code", "status"),
    [
        (State.CANCEL, {}, "cancelled", 410),
        (State.DONE, {"deletion_date": soon(hours=-1)}, "expired", 410),
        (State.ERROR, {"reason": Reason.LOST}, Reason.LOST, 500),
    ],
)
def test_call_without_a_response_is_rejected_with_the_reason(anna, tmp_path, state, fields, code, status):
    task = stored(state, owner=anna, dialect="prefer", **fields)
    with running("await resume(site + task);", tmp_path, task=task):
        error = first_told()
    problem = "failed" if state is State.ERROR else code
    assert error == {"name": "AsyncCallError", "code": code, "status": status, "problem": problem}


def test_unknown_operation_is_rejected_with_the_problem(anna, tmp_path):
    script = 'await resume("/async/operations/7d0a5f0c-8f0b-4c0e-9a56-0f6e2f1f7c11");'
    with running(script, tmp_path):
        assert first_told() == {"name": "AsyncCallError", "code": "not_found", "status": 404, "problem": "not_found"}


# Progress -------------------------------------------------------------------------------------------------------------


def test_progress_is_told_when_accepted_and_with_every_poll(anna, tmp_path):
    script = """
    await asyncFetch("/answers/200/", {onProgress: progress => tell(progress)});
    await tell("the end");
    """
    with running(script, tmp_path):
        task = submitted()
        accepted = first_told()
        AsyncTask.objects.update(state=State.PROCESSING, started=soon(), progress_done=3, progress_total=4)
        AsyncTask.objects.update(progress_message="Moscow")
        known = until(lambda: next((each for each in TOLD if each["percent"] == 75), None))
        lifecycle.cancel(task)
        until(lambda: TOLD[-1].get("code") == "cancelled")
    operation = f"/async/operations/{task.pk}"
    assert (accepted["state"], accepted["percent"], accepted["message"]) == ("PENDING", None, "")
    assert accepted["operationUrl"].endswith(operation)
    assert (known["state"], known["message"], known["position"]) == ("PROCESSING", "Moscow", None)
    assert accepted.keys() == known.keys() == {"state", "percent", "message", "eta", "position", "operationUrl"}


# Cancellation ---------------------------------------------------------------------------------------------------------


def test_abort_cancels_the_task(anna, tmp_path):
    script = """
    const controller = new AbortController(), {signal} = controller;
    await asyncFetch("/answers/200/", {signal, headers, onProgress: () => controller.abort()});
    """
    with running(script, tmp_path):
        assert first_told()["name"] == "AbortError"
        until(lambda: AsyncTask.objects.get().state == State.CANCEL)


def test_abort_before_the_202_arrives_cancels_the_task(anna, tmp_path):
    """And the caller does not wait for it."""
    script = """
    const controller = new AbortController(), {signal} = controller;
    const call = asyncFetch("/answers/200/", {signal, headers});
    controller.abort();
    await call;
    """
    with running(script, tmp_path):
        assert first_told()["name"] == "AbortError"
        until(lambda: AsyncTask.objects.filter(state=State.CANCEL))


def test_abort_without_a_connection_cancels_the_task_once_there_is_one(anna, tmp_path):
    script = """
    const controller = new AbortController(), {signal} = controller, real = window.fetch;
    window.fetch = (...call) => real(...call).catch(error => { controller.abort(); throw error; });
    await asyncFetch("/answers/200/", {signal, headers});
    """
    with running(script, tmp_path) as proxy:
        submitted()
        until(lambda: POLLS)
        proxy.cut()
        assert first_told()["name"] == "AbortError"
        proxy.mend()
        until(lambda: AsyncTask.objects.get().state == State.CANCEL)


# Lost connections -----------------------------------------------------------------------------------------------------


def test_call_goes_on_after_the_page_was_reloaded(anna, tmp_path):
    script = """
    const known = sessionStorage.operation;
    const onProgress = ({operationUrl}) => {
      sessionStorage.operation = operationUrl;
      if (!known) location.reload();
    };
    const call = known ? resume(known, {headers}) : asyncFetch("/answers/201/", {method: "POST", headers, onProgress});
    await tell(await seen(await call));
    """
    with running(script, tmp_path):
        task = submitted()
        until(lambda: [each for each in POLLS if each.get("Prefer") == "wait=20"])
        runner.run(str(task.pk))
        assert first_told()[:2] == [201, "kept"]
    assert AsyncTask.objects.count() == 1


def test_call_goes_on_after_the_connection_was_lost(anna, tmp_path):
    script = 'await tell(await seen(await asyncFetch("/answers/201/", {method: "POST", headers})));'
    with running(script, tmp_path) as proxy:
        task = submitted()
        until(lambda: POLLS)
        proxy.cut()
        runner.run(str(task.pk))
        proxy.mend()
        assert first_told()[:2] == [201, "kept"]
    assert AsyncTask.objects.count() == 1


ORDER = 'await tell(await seen(await asyncFetch("/answers/201/", {method: "POST", headers: {%s}})));'


def test_lost_202_is_asked_for_again_with_the_key_of_the_caller(anna, tmp_path):
    with running(ORDER % '...headers, "Idempotency-Key": "mine"', tmp_path, loses=True) as proxy:
        until(lambda: not LOSES)
        proxy.mend()
        runner.run(str(submitted().pk))
        assert first_told()[:2] == [201, "kept"]
    assert AsyncTask.objects.count() == 1


def test_lost_202_of_a_get_is_asked_for_again_and_runs_once(anna, tmp_path):
    script = 'await tell(await seen(await asyncFetch("/answers/201/", {headers})));'
    with running(script, tmp_path, loses=True) as proxy:
        until(lambda: not LOSES)
        proxy.mend()
        runner.run(str(submitted().pk))
        assert first_told()[:2] == [201, "kept"]
    assert AsyncTask.objects.count() == 1


def test_unsafe_call_without_a_key_of_the_caller_is_not_repeated(anna, tmp_path):
    """Its view might not be marked, and would run twice."""
    script = """
    let sent = 0;
    const real = window.fetch;
    window.fetch = (...call) => { sent++; return real(...call); };
    await asyncFetch("/answers/201/", {method: "POST", headers}).catch(error => tell([error.name, sent]));
    """
    with running(script, tmp_path, loses=True):
        assert first_told() == ["TypeError", 1]
    assert AsyncTask.objects.count() == 1


def test_server_that_never_answers_a_poll_cannot_be_reached(anna, tmp_path):
    """As in a network that loses packets without an error; the time is skipped."""
    task = stored(State.PROCESSING, owner=anna, dialect="prefer")
    script = """
    AbortSignal.timeout = () => AbortSignal.abort(new DOMException("", "TimeoutError"));
    window.setTimeout = work => queueMicrotask(work);
    await resume(site + task);
    """
    with running(script, tmp_path, task=task):
        assert first_told()["name"] == "TypeError"


def test_busy_server_is_asked_again(anna, tmp_path):
    task = stored(State.DONE, owner=anna, dialect="prefer", answer=b'"kept"')
    with running("await tell(await seen(await resume(site + task)));", tmp_path, task=task):
        REFUSALS.extend(HttpResponse(status=status, headers={"Retry-After": "1"}) for status in (429, 503))
        assert first_told()[3] == '"kept"'
    assert not REFUSALS


# Headers --------------------------------------------------------------------------------------------------------------


def test_polls_have_the_headers_of_the_caller_but_not_those_of_the_call(anna, tmp_path):
    script = """
    const call = {"X-Mine": "mine", "Content-Type": "text/plain", "Idempotency-Key": "once", "If-Match": '"x"'};
    await asyncFetch("/answers/200/", {method: "POST", body: "x", headers: {...headers, ...call}});
    await tell("the end");
    """
    with running(script, tmp_path):
        runner.run(str(submitted().pk))
        assert first_told() == "the end"
    assert {poll.get("X-Mine") for poll in POLLS} == {"mine"}
    assert not any(poll.keys() & {"Idempotency-Key", "If-Match", "Content-Type"} for poll in POLLS)


def test_another_origin_gets_neither_credentials_nor_headers(anna, tmp_path, settings):
    """The operation of a call is elsewhere, where nobody may know who called."""
    settings.CORS_ALLOW_ALL_ORIGINS = True
    settings.CORS_ALLOW_HEADERS = ["prefer"]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    task = stored(State.DONE, dialect="prefer", owner=anna, base="http://elsewhere")
    script = """
    const address = location.href.replace("127.0.0.1", "localhost"), real = window.fetch;
    window.fetch = async request => request.url.endsWith("/ordered/") ? Object.defineProperty(
      new Response("{}", {status: 202, headers: {"Preference-Applied": "respond-async",
        "Operation-Location": new URL(task, address).href}}), "url", {value: request.url}) : real(request);
    await asyncFetch("/ordered/", {headers: {Authorization: "Basic secret"}});
    """
    with running(script, tmp_path, task=task):
        until(lambda: POLLS)
    assert not any(poll.keys() & {"Authorization", "Cookie"} for poll in POLLS)


def test_page_of_another_origin_calls(anna, tmp_path, settings):
    settings.ASYNC_EXCHANGE = exchange(EXECUTOR=IDLE, ALLOW_ANONYMOUS=True)
    settings.CORS_ALLOW_ALL_ORIGINS = True
    settings.CORS_ALLOW_HEADERS = ["prefer", "idempotency-key"]
    settings.CORS_EXPOSE_HEADERS = ["Operation-Location", "Preference-Applied", "Retry-After", "X-Own"]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    with asgi_server() as port, receiving() as origin:
        site = f"http://127.0.0.1:{port}"
        call = 'await tell(await seen(await asyncFetch(site + "/answers/503/", {method: "POST"})));'
        text = SCRIPT % {"origin": site, "direct": site, "task": "", "token": "", "script": call}
        origin.answers = [(200, {"Content-Type": "text/html"}, f'<script type="module">{text}</script>'.encode())]
        with opened(origin.url("/"), tmp_path):
            runner.run(str(submitted().pk))
            assert first_told()[:2] == [503, "kept"]


# Shown elsewhere ------------------------------------------------------------------------------------------------------

SURROUNDINGS = """
const tell = value => fetch("%(direct)s/told/", {method: "POST", body: JSON.stringify(value), mode: "no-cors"});
const token = "%(token)s", orderNumber = "7", body = "x", form = document.createElement("form");
const cancelButton = {}, downloadLink = {}, show = () => {};
"""
IMPORT = 'import {asyncFetch} from "../asyncexchange/async-fetch.js";'
SHOWN = [block.text for block in blocks(ROOT / "docs" / "howto" / "javascript.rst") if block.language == "js"]


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_script_of_the_documentation_gets_the_response(anna, tmp_path, number):
    script = "\n".join([*([] if "import" in SHOWN[number] else [IMPORT]), SURROUNDINGS, SHOWN[number]])
    with running("", tmp_path, template=f"{script}\nawait tell(response.status);"):
        runner.run(str(submitted().pk))
        assert first_told() == 200


WATCHED = """
const tell = value => fetch("%(direct)s/told/", {method: "POST", body: JSON.stringify(value), mode: "no-cors"});
const part = name => document.getElementById(name);
const look = () => tell([part("text").textContent, part("bar").value, part("download").hidden]);
new MutationObserver(look).observe(part("text"), {childList: true});
part("%(script)s").click();
"""
"""Presses a button of the page of the example project, and tells what is shown."""


def test_page_of_the_example_shows_progress_and_has_a_download(anna, tmp_path):
    template = (EXAMPLE / "project" / "templates" / "stock.html").read_text(encoding="utf-8")
    html = Engine(libraries={"static": "django.templatetags.static"}).from_string(template).render(Context())
    html += '<script type="module" src="/static/shop/orders.js"></script>'
    with running("start", tmp_path, html=html, template=WATCHED):
        task = submitted()
        AsyncTask.objects.update(state=State.PROCESSING, started=soon(), progress_done=3, progress_total=4)
        until(lambda: ["Running, 75 %", 75, True] in TOLD)
        AsyncTask.objects.update(state=State.PENDING)
        runner.run(str(task.pk))
        until(lambda: TOLD[-1][0] == "The response has status 200." and not TOLD[-1][2])
    assert AsyncTask.objects.count() == 1
