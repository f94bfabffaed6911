"""README and quickstart, followed exactly from an empty directory with the wheel only."""

from __future__ import annotations

import pytest
import requests

from .newcomer import PASSWORD, PATIENCE, PAUSE, Environment, newcomer
from .pages import ROOT, Block, blocks
from .services import until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("first-hour")]

JWT = (
    Block("sh", "pip install djangorestframework-simplejwt", 0),
    Block(
        "python",
        "# mysite/settings.py\n"
        'REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"].append('
        '"rest_framework_simplejwt.authentication.JWTAuthentication")\n',
        0,
    ),
    Block(
        "python",
        "# mysite/urls.py\n"
        "from rest_framework_simplejwt.views import TokenObtainPairView\n"
        'urlpatterns = [..., path("token/", TokenObtainPairView.as_view())]\n',
        0,
    ),
)
"""As the first page of Simple JWT's documentation says."""


def quickstart():
    """The blocks of the quickstart, with JWT installed before server and worker are restarted."""
    page = list(blocks(ROOT / "docs" / "quickstart.rst"))
    restart = max(at for at, block in enumerate(page) if "runserver" in block.text)
    return [*page[:restart], *JWT, *page[restart:]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel):
    return Environment(tmp_path_factory.mktemp("newcomer"), wheel)


@pytest.fixture(scope="module")
def reader(tmp_path_factory, environment):
    """A user who has followed the README."""
    with newcomer(tmp_path_factory.mktemp("readme") / "empty", environment) as person:
        person.follow(blocks(ROOT / "README.rst"))
        yield person


@pytest.fixture(scope="module")
def beginner(tmp_path_factory, environment):
    """A user who has followed the quickstart, with JWT."""
    with newcomer(tmp_path_factory.mktemp("quickstart") / "empty", environment) as person:
        person.follow(quickstart())
        yield person


def test_readme_leads_from_an_empty_directory_to_a_result(reader, record_property, capsys):
    assert reader.fetched == ['{"rows": 2135}']
    record_property("seconds_to_first_result", reader.first_result)
    with capsys.disabled():
        print(f"\nfrom an empty directory to the first fetched result: {reader.first_result:.1f} s")


def test_only_the_wheel_is_imported(reader):
    where = reader.shell("python -c 'import django_asyncexchange; print(django_asyncexchange.__file__)'")
    assert where.startswith(str(reader.environment.home / "venv"))


def test_check_of_the_readmes_project_is_silent(reader):
    assert "System check identified no issues (0 silenced)." in reader.shell("python manage.py check 2>&1")


def test_quickstart_shows_the_result_of_a_token_call(beginner):
    assert beginner.fetched == ['{"year": "2026", "user": null}', '{"user":"anna"}']


def test_documented_tests_pass(beginner):
    beginner.follow(blocks(ROOT / "docs" / "howto" / "testing-your-project.rst"))
    assert "1 passed" in beginner.said


def test_pytest_plugin_imports_no_settings_if_unused(beginner, tmp_path):
    (tmp_path / "test_plain.py").write_text(
        "import sys\ndef test_plain(): assert not {'django.conf', 'django_asyncexchange.testing'} & set(sys.modules)\n"
    )
    beginner.environment.install("pytest")
    assert "1 passed" in beginner.shell(f"cd {tmp_path} && pytest -q -p no:django test_plain.py")


def caller_with_session(port):
    session = requests.Session()
    login = f"http://127.0.0.1:{port}/admin/login/"
    session.get(login)
    form = {"username": "anna", "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    assert session.post(login, data=form, allow_redirects=False).status_code == 302
    session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
    return session


def caller_with_jwt(port):
    session = requests.Session()
    pair = session.post(f"http://127.0.0.1:{port}/token/", data={"username": "anna", "password": PASSWORD})
    session.headers["Authorization"] = f"Bearer {pair.json()['access']}"
    return session


@pytest.mark.product("caller", "method")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("caller", [caller_with_session, caller_with_jwt])
def test_logged_in_caller_gets_the_result_later(beginner, caller, method):
    session = caller(beginner.port)
    url = f"http://127.0.0.1:{beginner.port}/me/"
    accepted = session.request(method, url, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202, accepted.text
    answer = until(lambda: fetched(session, accepted.headers["Location"]), PATIENCE, PAUSE)
    assert answer.json() == {"user": "anna"}


def fetched(session, location):
    answer = session.get(location)
    assert answer.status_code in (200, 202), answer.text
    return answer if answer.status_code == 200 else None


def test_result_of_another_caller_is_unreadable(beginner):
    url = f"http://127.0.0.1:{beginner.port}/me/"
    accepted = caller_with_jwt(beginner.port).get(url, headers={"Prefer": "respond-async"})
    assert requests.get(accepted.headers["Location"]).status_code in (401, 404)


def test_anonymous_caller_gets_the_views_401(beginner):
    refused = requests.get(f"http://127.0.0.1:{beginner.port}/me/", headers={"Prefer": "respond-async"})
    assert (refused.status_code, "Preference-Applied" in refused.headers) == (401, False)
