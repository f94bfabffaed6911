"""The middleware must be the last one: above CsrfViewMiddleware, an asynchronous call would bypass the CSRF check."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.test import Client, override_settings

from django_asyncexchange.models import AsyncTask

from ..services import exchange, runs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.services")]

*OTHERS, OURS = settings.MIDDLEWARE
ABOVE = range(len(OTHERS))
"""Every place but the last."""
TRIGGERS = [{"Solitude-Async": "yes"}, {"Prefer": "respond-async"}]


def placed(place):
    mounts = {"solitude": {}, "prefer": {}}
    return override_settings(
        MIDDLEWARE=[*OTHERS[:place], OURS, *OTHERS[place:]], ASYNC_EXCHANGE=exchange(DIALECTS=mounts)
    )


def is_complained_about():
    return "asyncexchange.E002" in {message.id for message in run_checks()}


def forged(trigger):
    """The status of a cross-site call by a logged-in browser."""
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(User.objects.create_user("anna"))
    return browser.post("/ran/", headers=trigger).status_code


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_forged_call_is_refused_with_the_middleware_last(trigger):
    with placed(len(OTHERS)):
        assert not is_complained_about()
        assert forged(trigger) == 403
    assert (AsyncTask.objects.count(), runs()) == (0, 0)


@pytest.mark.parametrize("place", ABOVE)
def test_check_fails_in_every_other_place(place):
    with placed(place):
        assert is_complained_about()


def test_forged_call_is_accepted_directly_above_the_csrf_middleware():
    # The reason for the check.
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    others = [name for name in OTHERS if name != csrf]
    with placed(len(OTHERS)), override_settings(MIDDLEWARE=[*others, OURS, csrf]):
        assert is_complained_about()
        assert forged(TRIGGERS[0]) == 202
