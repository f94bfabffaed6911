"""Our pages in Unfold's admin."""

from __future__ import annotations

import pytest

from django_asyncexchange.models import AsyncTask

from .calls import call, key_of, twice


@pytest.fixture
def staff(client, otto):
    client.force_login(otto, "django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def task(staff):
    return twice(staff, "/whoami/").task


@pytest.mark.parametrize("model", ["asynctask", "webhook", "delivery"])
def test_list_page_opens(staff, task, model):
    page = staff.get(f"/admin/asyncexchange/{model}/")
    assert page.status_code == 200
    assert b"unfold" in page.content


def test_list_shows_the_task(staff, task):
    page = staff.get("/admin/asyncexchange/asynctask/")
    assert str(task.pk)[:8].encode() in page.content


def test_detail_page_opens(staff, task):
    page = staff.get(f"/admin/asyncexchange/asynctask/{task.pk}/change/")
    assert page.status_code == 200
    assert b"otto" in page.content


@pytest.mark.parametrize("query", ["q=whoami", "state=DONE", "dialect=prefer", "method=GET", "created__gte=2026-01-01"])
def test_list_is_searched_and_filtered(staff, task, query):
    page = staff.get(f"/admin/asyncexchange/asynctask/?{query}")
    assert page.status_code == 200
    assert str(task.pk)[:8].encode() in page.content


def acted(staff, action, key, **more):
    page = staff.post(
        "/admin/asyncexchange/asynctask/", {"action": action, "_selected_action": str(key), **more}, follow=True
    )
    assert page.status_code == 200
    return page


def test_waiting_task_is_cancelled(staff):
    key = key_of(call(staff, "/whoami/", None, "", {"Prefer": "respond-async"})["Location"])
    acted(staff, "cancel", key)
    assert AsyncTask.objects.get().state == "CANCEL"


def test_task_is_pruned_after_confirmation(staff, task):
    assert b"unfold" in acted(staff, "prune", task.pk).content
    assert AsyncTask.objects.exists()
    acted(staff, "prune", task.pk, confirmed="yes")
    assert not AsyncTask.objects.exists()


def test_index_page_opens(staff, task):
    assert staff.get("/admin/").status_code == 200
