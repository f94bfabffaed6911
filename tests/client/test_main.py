"""``python -m django_asyncexchange.client``: what it writes, and its exit codes."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_asyncexchange.client.__main__ import main

from ..project.serving import wsgi_server
from ..services import exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]


@pytest.fixture
def cookie(db):
    client = Client()
    client.force_login(User.objects.create(username="anna"))
    return f"Cookie: sessionid={client.cookies['sessionid'].value}"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (409, 22)])
def test_body_is_written_and_the_code_tells_the_status(cookie, tmp_path, capsys, status, code):
    file = tmp_path / "answer"
    with override_settings(ASYNC_EXCHANGE=exchange()), wsgi_server() as port:
        assert main(["-H", cookie, "-o", str(file), f"http://127.0.0.1:{port}/answers/{status}/"]) == code
    assert file.read_bytes() == b"the answer"
    assert "PENDING" in capsys.readouterr().err


def test_server_that_is_not_there_is_code_7(capsys):
    assert main(["--timeout", "0.01", "http://127.0.0.1:1/"]) == 7
    assert "refused" in capsys.readouterr().err


def test_header_without_a_name_is_a_wrong_argument():
    with pytest.raises(SystemExit) as raised:
        main(["-H", "nonsense", "http://127.0.0.1:1/"])
    assert raised.value.code == 2
