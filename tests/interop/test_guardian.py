"""djangorestframework-guardian as the default of all views: object permissions, and lists filtered by them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from guardian.shortcuts import assign_perm, remove_perm
from rest_framework import generics, permissions, serializers
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from django_asyncexchange.models import AsyncTask

from .calls import key_of, perform, twice
from .notes.models import Note
from .notes.views import Notes

LATER = {"Prefer": "respond-async"}
VIEWING = "%(app_label)s.view_%(model_name)s"


class OnObjects(permissions.DjangoObjectPermissions):
    """As its documentation has it."""

    perms_map = {
        **permissions.DjangoObjectPermissions.perms_map,
        **dict.fromkeys(("GET", "OPTIONS", "HEAD"), [VIEWING]),
    }


class Plain(serializers.ModelSerializer):
    class Meta:
        model = Note
        fields = ("text",)


@pytest.fixture(autouse=True)
def defaults(settings, monkeypatch):
    """A project with these settings of REST framework, as if just started."""
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "DEFAULT_PERMISSION_CLASSES": [f"{__name__}.OnObjects"],
        "DEFAULT_FILTER_BACKENDS": ["rest_framework_guardian.filters.ObjectPermissionsFilter"],
    }
    monkeypatch.setattr(APIView, "permission_classes", api_settings.DEFAULT_PERMISSION_CLASSES)
    monkeypatch.setattr(generics.GenericAPIView, "filter_backends", api_settings.DEFAULT_FILTER_BACKENDS)
    monkeypatch.setattr(Notes, "permission_classes", api_settings.DEFAULT_PERMISSION_CLASSES)
    monkeypatch.setattr(Notes, "get_serializer_class", lambda self: Plain)


@pytest.fixture
def notes(anna, otto):
    """Two notes of Otto's; Anna has the model permission, and the object permission of the first."""
    anna.user_permissions.set(Permission.objects.filter(codename="view_note"))
    mine, other = (Note.objects.create(author=otto, text=text) for text in ("shared", "private"))
    assign_perm("view_note", anna, mine)
    return mine, other


def submitted(client: Client, address: str) -> Any:
    response = client.get(address, headers=LATER)
    assert response.status_code == 202, response.content
    return response["Location"]


def test_deferred_list_has_the_same_objects(client, notes):
    calls = twice(client, "/api/notes/")
    assert calls.is_equal
    assert [note["text"] for note in calls.later.json()] == ["shared"]


def test_permitted_object_is_the_same_when_deferred(client, notes):
    assert twice(client, f"/api/notes/{notes[0].pk}/").is_equal


def test_object_without_permission_is_404_immediately_and_at_submit(client, notes):
    answers = [client.get(f"/api/notes/{notes[1].pk}/", headers=headers) for headers in ({}, LATER)]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].content == answers[1].content


def test_object_permission_removed_before_the_run_is_404(client, anna, notes):
    address = submitted(client, f"/api/notes/{notes[0].pk}/")
    remove_perm("view_note", anna, notes[0])
    perform(key_of(address))
    assert AsyncTask.objects.get().status_code == 404


def test_task_is_polled_listed_and_cancelled_without_task_permissions(client, notes):
    address = submitted(client, "/api/notes/")
    waiting = client.get(address).status_code
    perform(key_of(address))
    listed = [each["id"] for each in client.get("/async/tasks").json()["results"]]
    cancelled = client.delete(submitted(client, "/api/notes/")).status_code
    assert (waiting, client.get(address).status_code, client.get(f"{address}/result").status_code) == (202, 303, 200)
    assert (listed, cancelled) == ([str(key_of(address))], 204)


def test_webhooks_are_managed_without_webhook_permissions(client, notes):
    made = client.post(
        "/async/webhooks", {"url": "https://example.com/", "action": "PROCESSED"}, content_type="application/json"
    )
    assert (made.status_code, client.get("/async/webhooks").status_code) == (201, 200)


def test_view_permission_on_a_task_does_not_open_it_to_another_user(client, notes):
    address = submitted(client, "/api/notes/")
    maria = User.objects.create_user("maria")
    assign_perm("asyncexchange.view_asynctask", maria)
    assign_perm("view_asynctask", maria, AsyncTask.objects.get())
    hers = Client()
    hers.force_login(maria, "django.contrib.auth.backends.ModelBackend")
    assert (hers.get(address).status_code, hers.get("/async/tasks").json()["results"]) == (404, [])
