"""A deferred run gets the whole collection; a synchronous request gets its page."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, RequestFactory
from rest_framework.pagination import CursorPagination, LimitOffsetPagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response

from django_asyncexchange.models import AsyncTask
from django_asyncexchange.rest.pagination import WholeCollectionMixin

from ..project.paging import ROWS

pytestmark = pytest.mark.django_db(transaction=True)


class ByOffset(WholeCollectionMixin, LimitOffsetPagination):
    default_limit = 2


class ByPage(WholeCollectionMixin, PageNumberPagination):
    page_size = 2


class ByCursor(WholeCollectionMixin, CursorPagination):
    page_size = 2
    ordering = "id"


class Worded(LimitOffsetPagination):
    """Pages in MoySklad's format."""

    default_limit = 2

    def get_paginated_response(self, data):
        meta = {"href": "x", "size": self.count, "limit": self.limit, "offset": self.offset, "nextHref": "y"}
        return Response({"context": {"limit": "kept"}, "meta": meta, "rows": data})


class Remap(WholeCollectionMixin, Worded):
    pass


KINDS = [ByOffset, ByPage, ByCursor]


def paged(cls, rows, task=None, query=""):
    """(rows, document) of a list."""
    request = RequestFactory().get(f"/?{query}")
    request.async_task = task
    pages = cls()
    page = pages.paginate_queryset(rows, Request(request))
    return page, pages.get_paginated_response(list(page)).data


@pytest.fixture
def groups(db):
    Group.objects.bulk_create(Group(name=f"{number}") for number in range(5))
    return Group.objects.order_by("id")


@pytest.mark.parametrize("cls", KINDS)
def test_synchronous_request_gets_its_page(groups, cls):
    page, document = paged(cls, groups)
    assert len(page) == 2
    assert document["next"]


@pytest.mark.seed("S001-9", "S001-40")
@pytest.mark.parametrize("cls", KINDS)
def test_deferred_run_gets_every_row(groups, cls):
    page, _ = paged(cls, groups, task="a task")
    assert list(page) == list(groups)


@pytest.mark.parametrize("cls", KINDS)
def test_deferred_run_has_no_paging_keys(groups, cls):
    _, document = paged(cls, groups, task="a task")
    assert not {"next", "previous", "limit", "offset"} & set(document)


@pytest.mark.parametrize("cls", [ByOffset, ByPage])
def test_deferred_run_has_the_count(groups, cls):
    assert paged(cls, groups, task="a task")[1]["count"] == 5


@pytest.mark.parametrize("cls", KINDS)
def test_deferred_run_of_an_empty_queryset_is_empty(cls):
    page, document = paged(cls, Group.objects.order_by("id"), task="a task")
    assert (list(page), document["results"]) == ([], [])


@pytest.mark.parametrize("cls", [ByOffset, ByPage])
def test_list_is_paginated_like_a_queryset(cls):
    assert paged(cls, list(range(5)), task="a task")[0] == [0, 1, 2, 3, 4]


def test_paging_parameters_are_ignored_in_a_deferred_run(groups):
    assert len(paged(ByOffset, groups, task="a task", query="limit=1&offset=3")[0]) == 5


@pytest.mark.seed("S001-39")
def test_meta_of_a_deferred_run_has_no_limit_and_offset(groups):
    document = paged(Remap, groups, task="a task")[1]
    assert document["meta"] == {"href": "x", "size": 5}
    assert document["context"] == {"limit": "kept"}


def test_meta_of_a_synchronous_request_has_limit_and_offset(groups):
    assert paged(Remap, groups)[1]["meta"] == {"href": "x", "size": 5, "limit": 2, "offset": 0, "nextHref": "y"}


def test_prefetch_related_works_in_a_deferred_run(groups, django_assert_num_queries):
    with django_assert_num_queries(2):
        page, _ = paged(ByOffset, groups.prefetch_related("permissions"), task="a task")
        assert [list(group.permissions.all()) for group in page] == [[]] * 5


def test_deferred_run_reads_its_rows_in_one_query(groups, django_assert_num_queries):
    with django_assert_num_queries(1):
        paged(ByOffset, groups, task="a task")


@pytest.fixture
def client(db):
    client = Client()
    client.force_login(User.objects.create_user("anna"))
    return client


@pytest.mark.seed("S001-1", "S001-2", "S001-9", "S001-32", "S001-40", "S002-1")
def test_deferred_report_equals_all_pages_together(client):
    url = "/api/remap/1.2/paging/"
    pages = [client.get(f"{url}?limit=1000&offset={offset}").json() for offset in range(0, ROWS, 1000)]
    file = client.get(client.get(client.get(f"{url}?async=true").headers["Location"]).headers["Location"])
    report = file.json()
    assert report["rows"] == [row for page in pages for row in page["rows"]]
    assert report["meta"] == {"size": ROWS}
    assert AsyncTask.objects.get().state == "DONE"
