"""django-guardian, django-rules, django-axes, allauth and django-otp: the same permissions for the same user."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from axes.models import AccessAttempt
from django.test import Client
from django_otp.plugins.otp_static.models import StaticDevice
from guardian.shortcuts import assign_perm, remove_perm

from django_asyncexchange.models import AsyncTask

from .calls import call, key_of, perform, twice
from .notes.models import Note


def preferring(client, path, data=None, **headers):
    return call(client, path, data, "", {**headers, "Prefer": "respond-async"})


@pytest.fixture
def note(anna, otto):
    return Note.objects.create(author=otto, text="of Otto")


# Guardian -------------------------------------------------------------------------------------------------------------


def test_permitted_objects_are_the_same_when_deferred(client, anna, note):
    anna.user_permissions.clear()
    assign_perm("view_note", anna, note)
    calls = twice(client, "/my-notes/")
    assert calls.is_equal
    assert calls.later.json() == {"notes": ["of Otto"]}


def test_object_permission_is_checked_again_in_the_run(client, anna, note):
    anna.user_permissions.clear()
    assign_perm("view_note", anna, note)
    accepted = preferring(client, f"/guarded/{note.pk}/")
    remove_perm("view_note", anna, note)
    perform(key_of(accepted["Location"]))
    assert AsyncTask.objects.get().status_code == 403


def test_object_permission_allows_a_deferred_call(client, anna, note):
    anna.user_permissions.clear()
    assign_perm("view_note", anna, note)
    assert twice(client, f"/guarded/{note.pk}/").is_equal


# Rules ----------------------------------------------------------------------------------------------------------------


def test_rule_is_checked_in_the_run(client, note, anna):
    assert twice(client, f"/ruled/{note.pk}/").later.status_code == 403
    Note.objects.update(author=anna)
    calls = twice(client, f"/ruled/{note.pk}/")
    assert calls.is_equal
    assert calls.later.json()["text"] == "of Otto"


def test_rule_of_a_viewset_is_checked_in_the_run(client, note, anna):
    Note.objects.update(author=anna)
    calls = twice(client, f"/api/notes/{note.pk}/", {"text": "changed"}, method="put")
    assert calls.is_equal
    assert calls.later.json() == {"text": "changed"}


# Axes -----------------------------------------------------------------------------------------------------------------


def test_password_that_a_view_checks_is_checked_in_the_run(client, anna):
    calls = twice(client, "/login-by-hand/", {"username": "anna", "password": "secret"})
    assert calls.is_equal
    assert calls.later.json() == {"user": anna.pk}


def test_wrong_password_is_counted_in_the_run(client):
    calls = twice(client, "/login-by-hand/", {"username": "anna", "password": "wrong"})
    assert calls.is_equal
    attempt = AccessAttempt.objects.get()
    assert (attempt.failures_since_start, attempt.ip_address, attempt.username) == (2, "127.0.0.1", "anna")


def test_locked_out_user_is_locked_out_in_the_run(client):
    wrong = {"username": "anna", "password": "wrong"}
    for _ in range(3):
        call(client, "/login-by-hand/", wrong, "", {})
    calls = twice(client, "/login-by-hand/", {"username": "anna", "password": "secret"})
    assert calls.is_equal
    assert calls.later.status_code == 429


def test_locked_out_user_is_refused_at_submit_where_the_view_authenticates(anna):
    wrong = {"Authorization": "Basic YW5uYTp3cm9uZw=="}
    answers = [preferring(Client(), "/api/password/", **wrong).status_code for _ in range(4)]
    at_once = call(Client(), "/api/password/", None, "", wrong)
    assert answers[-1] == at_once.status_code == 401
    assert not AsyncTask.objects.exists()


def test_user_with_basic_auth_is_the_same_in_the_run_and_polls_with_it(anna):
    calls = twice(Client(), "/api/password/", Authorization="Basic YW5uYTpzZWNyZXQ=")
    assert calls.is_equal
    assert calls.later.json()["user"] == anna.pk


# allauth --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def logged_in(anna):
    """Logged in through allauth's own form."""
    EmailAddress.objects.create(user=anna, email=anna.email, verified=True, primary=True)
    client = Client()
    assert client.post("/accounts/login/", {"login": "anna", "password": "secret"}).status_code == 302
    return client


def test_user_with_a_verified_email_is_the_same_in_the_run(logged_in, anna):
    calls = twice(logged_in, "/verified-email/")
    assert calls.is_equal
    assert calls.later.json()["user"] == anna.pk


def test_view_requiring_reauthentication_is_not_deferred(logged_in, anna):
    """The time of the last login is in the session, which no run has."""
    assert logged_in.post("/accounts/reauthenticate/", {"password": "secret"}).status_code == 302
    answer = preferring(logged_in, "/recent-login/")
    assert (answer.status_code, answer.json()["user"]) == (200, anna.pk)
    assert not AsyncTask.objects.exists()


# OTP ------------------------------------------------------------------------------------------------------------------


def test_user_with_a_second_factor_is_verified_in_the_run(client, anna):
    device = StaticDevice.objects.create(user=anna, name="codes")
    session = client.session
    session["otp_device_id"] = device.persistent_id
    session.save()
    calls = twice(client, "/second-factor/")
    assert calls.is_equal
    assert calls.later.json()["is_verified"]


def test_user_without_a_second_factor_is_redirected_alike(client):
    at_once, preferred = client.get("/second-factor/"), preferring(client, "/second-factor/")
    assert (at_once.status_code, at_once["Location"]) == (preferred.status_code, preferred["Location"])
