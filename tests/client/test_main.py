"""``python -m django_asyncexchange.client``: what it writes, and its exit codes."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.test import override_settings

from django_asyncexchange.client import __main__ as cli
from django_asyncexchange.client.__main__ import main
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..project.serving import wsgi_server
from ..services import IDLE, exchange
from . import site
from .proxy import MOMENTS, RESULT, Fault
from .site import body, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.client.site")]
SIZE = 400_000


@pytest.fixture
def headers(cookie):
    return [word for name, text in cookie.items() for word in ("-H", f"{name}: {text}")]


def on_a_terminal(words, output):
    """The exit code of the program, and what it draws on its stderr, which is a terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    with (
        output.open("wb") as stdout,
        subprocess.Popen(
            [sys.executable, "-m", "django_asyncexchange.client", *words], stdout=stdout, stderr=theirs, env=environment
        ) as process,
    ):
        os.close(theirs)
        drawn = b""
        try:
            while data := os.read(ours, 10_000):
                drawn += data
        except OSError:  # how Linux says that nobody writes any more
            pass
        os.close(ours)
        return process.wait(), drawn.decode()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (409, 22)])
def test_body_is_written_and_the_code_tells_the_status(headers, line, name, tmp_path, capsys, status, code):
    file = tmp_path / "answer"
    assert main([*headers, "-o", str(file), f"{line.url}/works/{name}/{status}/10/"]) == code
    assert file.read_bytes() == body(10)
    assert "PENDING" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ([], "GET"),
        (["post"], "POST"),
        (["-X", "POST"], "POST"),
        (["-d", "a=1"], "POST"),
        (["DELETE", "-d", "a=1"], "DELETE"),
    ],
    ids=" ".join,
)
def test_method_is_given_or_follows_from_the_body(headers, line, name, capfdbinary, words, method):
    method_first = [word for word in words if word.isalpha() and not words[0].startswith("-")]
    options = words[len(method_first) :]
    main([*options, *headers, *method_first, f"{line.url}/works/{name}/200/10/"])
    assert line.seen[0][1] == method


def test_body_is_read_from_a_file(headers, line, name, tmp_path, capfdbinary):
    (tmp_path / "body").write_bytes(b"\x00" * 1234)
    main([*headers, "-d", f"@{tmp_path / 'body'}", f"{line.url}/works/{name}/200/10/"])
    assert line.seen[0][2]["content-length"] == "1234"


def test_body_is_read_from_stdin(headers, line, name, capfdbinary, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"12345")))
    main([*headers, "-d", "@-", f"{line.url}/works/{name}/200/10/"])
    assert line.seen[0][2]["content-length"] == "5"


def test_download_of_text_is_continued(headers, line, name, tmp_path):
    line.faults = [Fault(RESULT, MOMENTS[3], after=10_000)]
    file = tmp_path / "report.csv"
    assert main([*headers, "-s", "-o", str(file), "POST", f"{line.url}/works/{name}/200/{SIZE}/?type=text/csv"]) == 0
    assert file.read_bytes() == text(SIZE) and line.steps().count(RESULT) == 2


@pytest.mark.parametrize("option", ["-s", "--no-progress"])
def test_quiet_call_writes_nothing_but_the_body(headers, line, name, capfdbinary, option):
    assert main([*headers, option, f"{line.url}/works/{name}/200/10/"]) == 0
    assert capfdbinary.readouterr() == (body(10), b"")


def test_bar_is_drawn_on_a_terminal(headers, line, name, tmp_path):
    file = tmp_path / "answer"
    code, drawn = on_a_terminal([*headers, f"{line.url}/works/{name}/200/{SIZE}/"], file)
    assert (code, file.read_bytes() == body(SIZE)) == (0, True)
    assert "DOWNLOADING" in drawn and "0.4/0.4 MB" in drawn


def test_quiet_call_draws_no_bar(headers, line, name, tmp_path):
    code, drawn = on_a_terminal([*headers, "-s", f"{line.url}/works/{name}/200/10/"], tmp_path / "answer")
    assert (code, drawn) == (0, "")


def test_terminal_without_rich_gets_lines(headers, line, name, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main([*headers, f"{line.url}/works/{name}/200/10/"]) == 0
    assert capfd.readouterr().err.splitlines()[0].startswith("PENDING")


def test_server_that_is_not_there_is_code_7(capsys):
    assert main(["--timeout", "0.01", "http://127.0.0.1:1/"]) == 7
    assert "refused" in capsys.readouterr().err


def test_download_that_cannot_go_on_is_code_7(headers, line, name, tmp_path):
    line.faults = [Fault(RESULT, MOMENTS[0], times=100)]
    assert main([*headers, "-o", str(tmp_path / "answer"), f"{line.url}/works/{name}/200/10/"]) == 7


def test_file_that_cannot_be_written_submits_nothing(headers, line, name, tmp_path):
    assert main([*headers, "-o", str(tmp_path / "no" / "answer"), f"{line.url}/works/{name}/200/10/"]) == 1
    assert site.runs(name) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["-H", "nonsense", "http://127.0.0.1:1/"],
        ["-d", "@/no/such/file", "http://127.0.0.1:1/"],
        ["127.0.0.1:1/stock"],
        ["ftp://127.0.0.1/stock"],
        ["http://[::1/stock"],
        ["-X", "PUT", "POST", "http://127.0.0.1:1/"],
        ["GET", "POST", "http://127.0.0.1:1/"],
        [],
    ],
)
def test_wrong_arguments_are_code_2(words, capsys):
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2


def test_interrupt_is_code_130_and_cancels(headers, name, monkeypatch, cookie):
    def interrupt(progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "show", interrupt)
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)), wsgi_server() as port:
        assert main([*headers, f"http://127.0.0.1:{port}/works/{name}/200/10/"]) == 130
    assert AsyncTask.objects.get().state == State.CANCEL
