"""A page of another origin with the settings of docs/howto/proxies-and-cors.rst and the real django-cors-headers."""

from __future__ import annotations

import re

import pytest
from django.conf import settings as project
from django.contrib.auth.models import User
from django.test import override_settings

from django_asyncexchange.conf import conf
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.dialects.base import Trigger

from ..pages import PAGES, blocks, completed
from ..services import exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.behaviour.test_status_matrix")]

ORIGIN = "https://app.example.com"
SAFELISTED = {
    "Cache-Control",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "Expires",
    "Last-Modified",
    "Pragma",
}
"""Response headers that a page may always read (Fetch standard, CORS-safelisted response-header name)."""
FOR_BROWSERS = re.compile(
    "(Access-Control-.*|Accept-Ranges|Allow|Content-Security-Policy|Cross-Origin-Opener-Policy|Referrer-Policy|Vary"
    "|X-Content-Type-Options|X-Frame-Options)",
    re.IGNORECASE,
)
"""Response headers that a page has no use for."""
CALLS = {
    "prefer": ("GET", "/api/v2/campaigns.json", {"Prefer": "respond-async"}),
    "solitude": ("POST", "/generic/buyer/", {"Solitude-Async": "yes"}),
    "moysklad": ("GET", "/api/remap/1.2/report?async=true", {}),
    "kladana": ("GET", "/kladana/api/remap/1.2/report?async=true", {}),
    "mailru": ("POST", "/async_api/v2/campaigns.json", {"X-Callback-Location": "https://8.8.8.8/"}),
    "cisco": ("POST", "/unifiedconfig/config/calltype?async=true", {}),
}


@pytest.fixture(scope="module")
def shown():
    """The settings that the page shows."""
    [page] = [page for page in PAGES if page.stem == "proxies-and-cors"]
    [block] = [block for block in blocks(page) if "CORS_ALLOW_HEADERS" in block.text]
    names = {name: list(getattr(project, name)) for name in ("INSTALLED_APPS", "MIDDLEWARE")}
    exec(completed(block.text), names)
    return {name: value for name, value in names.items() if name.isupper()}


@pytest.fixture(autouse=True)
def site(shown):
    views = ["/api/v2/campaigns.json", "/api/remap/1.2/report", "/kladana/api/remap/1.2/report"]
    with override_settings(**shown, ASYNC_EXCHANGE=exchange(VIEWS=views)):
        yield


@pytest.fixture
def page(client):
    """A page of ``ORIGIN`` whose user is logged in."""
    client.force_login(User.objects.create_user("anna"))
    client.defaults["HTTP_ORIGIN"] = ORIGIN
    return client


def allowed(page, *names):
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ",".join(names)}
    return {name.strip() for name in page.options("/ran/", headers=headers)["Access-Control-Allow-Headers"].split(",")}


@pytest.mark.parametrize("dialect", BUILT_IN)
def test_preflight_allows_the_headers_of_a_dialect(page, dialect):
    [mount] = [mount for mount in conf.mounts if mount.name == dialect]
    trigger = {mount.TRIGGER_NAME} if mount.TRIGGER in (Trigger.HEADER, Trigger.PREFERENCE) else set()
    wanted = {name.lower() for name in {*CALLS[dialect][2], *trigger, "Prefer", "Idempotency-Key", "Range", "If-Range"}}
    assert wanted <= allowed(page, *wanted)


@pytest.mark.parametrize("dialect", BUILT_IN)
def test_page_may_read_each_header_of_submit_poll_and_result(page, dialect):
    method, path, headers = CALLS[dialect]
    answers = [page.generic(method, path, headers={**headers, "Idempotency-Key": "1"}) for _ in range(2)]
    assert answers[0].status_code == 202, answers[0].content
    body = answers[0].json() if answers[0].content and dialect == "solitude" else {}
    addresses = [
        *(answers[0][name] for name in ("Location", "Content-Location", "Operation-Location") if name in answers[0]),
        *(str(value) for value in body.values()),
    ]
    while addresses:
        answers.append(page.get(addresses.pop()))
        if 300 <= answers[-1].status_code < 400:
            addresses.append(answers[-1]["Location"])
    assert answers[-1].status_code in (200, 201)
    for answer in answers:
        readable = SAFELISTED | {name.strip() for name in answer["Access-Control-Expose-Headers"].split(",")}
        sent = {name.lower() for name in answer.headers if not FOR_BROWSERS.fullmatch(name)}
        assert sent <= {name.lower() for name in readable}
        assert answer["Access-Control-Allow-Origin"] == ORIGIN


def test_header_that_is_not_listed_is_not_allowed(page):
    assert "x-other" not in allowed(page, "x-other")
