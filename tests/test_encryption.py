"""Captured requests at rest: encrypted, deleted with the end of the task, complete while it runs."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection
from django.test import override_settings

from django_asyncexchange import encryption
from django_asyncexchange.exceptions import RequestErased
from django_asyncexchange.models import AsyncTask, Body
from django_asyncexchange.protocol.states import Reason, State
from django_asyncexchange.store import bodies
from django_asyncexchange.tasks import lifecycle
from django_asyncexchange.tasks.submit import rerun
from django_asyncexchange.worker import runner

from .services import IDLE, captured, exchange, runs, submitted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

FORMER = "the former secret key " * 3
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SEALED = "gAAAA"
"""How every Fernet token begins."""
CALL = captured("/ran/", "POST", query="token=query-secret&x=1", headers=(("Content-Type", "text/header-secret"),))
SMALL = b"body-secret"
LARGE = b"body-secret " * 20_000
SECRETS = (b"query-secret", b"header-secret", b"body-secret")
KEYS = pytest.mark.parametrize("keys", [(), (NEW,)], ids=["SECRET_KEY", "ENCRYPTION_KEYS"])
SIZES = pytest.mark.parametrize("body", [SMALL, LARGE], ids=["in the database", "in the storage"])


def later(*keys, **changes):
    """Nothing runs until the test runs it; ``keys`` are the ENCRYPTION_KEYS."""
    return override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE, ENCRYPTION_KEYS=keys, **changes))


def submit(body=SMALL):
    return submitted([body], to=CALL)


def run(task):
    runner.run(str(task.pk))
    task.refresh_from_db()
    return task.state


def raw():
    """The captured request as stored in the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT request FROM asyncexchange_asynctask")
        [(text,)] = cursor.fetchall()
    return text if isinstance(text, str) else json.dumps(text)


def raw_body():
    """The only captured body as stored in the database or the storage."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT content, name FROM asyncexchange_body WHERE kind = %s", ["request"])
        [(content, name)] = cursor.fetchall()
    return (place() / name).read_bytes() if name else bytes(content)


def place():
    return settings.STORAGES["asyncexchange"]["OPTIONS"]["location"]


def files():
    return {path for path in place().rglob("*") if path.is_file()}


def seen(task):
    """The body that the view has seen."""
    return json.loads(bodies.read(task.response_body()))["body"].encode()


@pytest.fixture(autouse=True)
def clean():
    """Delete the files that the test has left behind."""
    before = files()
    yield
    for path in files() - before:
        path.unlink()


# At rest --------------------------------------------------------------------------------------------------------------


@SIZES
@KEYS
def test_request_and_body_are_unreadable(body, keys):
    with later(*keys):
        submit(body)
    assert list(json.loads(raw())) == ["sealed"]
    assert json.loads(raw())["sealed"].startswith(SEALED)
    assert raw_body().startswith(SEALED.encode())
    assert not any(secret in raw().encode() + raw_body() for secret in SECRETS)


def test_each_line_of_a_sealed_file_is_a_token():
    with later(NEW):
        submit(LARGE)
    lines = raw_body().splitlines()
    assert all(line.startswith(SEALED.encode()) for line in lines)
    assert b"".join(Fernet(NEW).decrypt(line) for line in lines) == LARGE


def test_size_and_digest_are_those_of_the_plain_body():
    with later(NEW):
        submit(SMALL)
    with later():
        submit(SMALL)
    assert Body.objects.values("size", "sha256").distinct().count() == 1


@SIZES
@KEYS
def test_sealed_call_runs_with_its_body(body, keys):
    with later(*keys):
        task = submit(body)
        assert run(task) == "DONE"
        assert seen(task) == body


def test_sealed_call_has_its_secret_parameters():
    with later(NEW):
        assert submit().captured.query == "token=query-secret&x=1"


@pytest.mark.parametrize(("size", "more"), [(1, SMALL), (7, SMALL), (64 * 1024, LARGE)], ids=["1", "7", "64 KiB"])
def test_sealed_stream_is_read_in_pieces_of_any_size(size, more):
    with later(NEW):
        sealed = b"".join(encryption.sealed([b"one", b"", b"two\n", more]))
        pieces = (sealed[at : at + size] for at in range(0, len(sealed), size))
        assert b"".join(encryption.unsealed(pieces)) == b"onetwo\n" + more


# Rotation -------------------------------------------------------------------------------------------------------------


@SIZES
def test_task_encrypted_with_an_old_key_runs_with_a_new_first_key(body):
    with later(OLD):
        task = submit(body)
    with later(NEW, OLD):
        assert run(task) == "DONE"
        assert seen(task) == body


def test_first_key_writes():
    with later(NEW, OLD):
        task = submit()
    with later(NEW):
        assert run(task) == "DONE"


@SIZES
def test_call_without_its_key_ends_in_error_and_does_not_run(body, caplog):
    with later(OLD):
        task = submit(body)
    with later(NEW):
        assert run(task) == "ERROR"
    assert (task.reason, runs()) == (Reason.EXCEPTION, 0)
    assert not any(secret.decode() in caplog.text for secret in SECRETS)


def test_call_without_encryption_keys_ends_in_error_and_does_not_run():
    with later(OLD):
        task = submit()
    with later():
        assert run(task) == "ERROR"
    assert runs() == 0


@SIZES
def test_call_sealed_by_the_secret_key_runs_after_encryption_keys_are_set(body):
    with later():
        task = submit(body)
    with later(NEW):
        assert run(task) == "DONE"
        assert seen(task) == body


@SIZES
def test_call_sealed_by_a_fallback_secret_key_runs(body):
    with later(), override_settings(SECRET_KEY=FORMER):
        task = submit(body)
    with later(), override_settings(SECRET_KEY="another key " * 5, SECRET_KEY_FALLBACKS=[FORMER]):
        assert run(task) == "DONE"
        assert seen(task) == body


def test_call_without_the_former_secret_key_ends_in_error_and_does_not_run():
    with later(), override_settings(SECRET_KEY=FORMER):
        task = submit()
    with later():
        assert run(task) == "ERROR"
    assert runs() == 0


@SIZES
def test_unsealed_call_of_an_older_version_runs(body):
    with later():
        task = submit(body)
        fields = {name: getattr(CALL, name) for name in CALL.__dataclass_fields__ if name != "environ"}
        AsyncTask.objects.update(request=fields)
        Body.objects.all().delete()
        bodies.attach(bodies.write([body], limit=len(body)), task_id=task.pk, kind=Body.REQUEST)
        assert raw_body() == body
        assert run(task) == "DONE"
        assert seen(task) == body


def test_tampered_request_does_not_run():
    with later(NEW):
        task = submit()
        token = task.request["sealed"]
        AsyncTask.objects.update(request={"sealed": f"{token[:40]}{'A' if token[40] != 'A' else 'B'}{token[41:]}"})
        assert (run(task), runs()) == ("ERROR", 0)


# Deletion -------------------------------------------------------------------------------------------------------------


def done(task):
    assert run(task) == "DONE"


def error(task):
    lifecycle.fail(lifecycle.claim(task.pk), Reason.EXCEPTION)


def api_error(task):
    AsyncTask.objects.update(auth_backend="django.contrib.auth.backends.ModelBackend", owner=None)
    assert run(task) == "API_ERROR"


def cancel(task):
    lifecycle.cancel(task)


ENDS = pytest.mark.parametrize("end", [done, error, api_error, cancel])


@ENDS
@SIZES
@KEYS
def test_request_is_erased_when_its_task_ends(end, body, keys):
    with later(*keys):
        before = files()
        task = submit(body)
        assert (len(files() - before), Body.objects.count()) == (int(body is LARGE), 1)
        end(task)
        assert json.loads(raw()) == {}
        assert not Body.objects.filter(kind=Body.REQUEST).exists()
        answers = Body.objects.filter(kind=Body.RESPONSE).exclude(name="").count()
        assert len(files() - before) == answers


@ENDS
@SIZES
@KEYS
def test_keep_requests_keeps_them_for_a_rerun(end, body, keys):
    with later(*keys, KEEP_REQUESTS=True):
        task = submit(body)
        end(task)
        ran = runs()
        again = rerun(AsyncTask.objects.get(pk=task.pk))
        AsyncTask.objects.update(auth_backend="")
        assert (run(again), runs()) == ("DONE", ran + 1)
        assert seen(again) == body


@ENDS
def test_erased_request_cannot_be_rerun(end):
    with later():
        task = submit()
        end(task)
        with pytest.raises(RequestErased):
            rerun(AsyncTask.objects.get(pk=task.pk))
    assert AsyncTask.objects.count() == 1


def test_request_of_an_unfinished_task_is_kept():
    with later():
        task = submit()
        lifecycle.claim(task.pk)
    assert task.captured.path == "/ran/"
    assert Body.objects.get(kind=Body.REQUEST).size == len(SMALL)


def test_file_that_cannot_be_deleted_does_not_prevent_the_end():
    with later():
        task = submit(LARGE)
        with override_settings(STORAGES={**settings.STORAGES, "asyncexchange": {"BACKEND": f"{__name__}.Stubborn"}}):
            lifecycle.cancel(task)
        assert AsyncTask.objects.get().state == State.CANCEL
        assert Body.objects.filter(kind=Body.REQUEST).exists()


class Stubborn:
    """A storage that deletes nothing."""

    def delete(self, name):
        raise PermissionError(name)
