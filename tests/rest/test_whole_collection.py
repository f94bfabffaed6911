"""Whole collections, row by row: the bytes of the ordinary renderer, one snapshot, and little memory."""

from __future__ import annotations

import csv
import gc
import io
import json
import threading
import weakref
from contextlib import closing

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination, LimitOffsetPagination, PageNumberPagination
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from django_asyncexchange.rest import consistent_read
from django_asyncexchange.rest.pagination import WholeCollectionMixin
from django_asyncexchange.rest.renderers import CSVRenderer, NDJSONRenderer, cell
from django_asyncexchange.rest.whole_collection import WholeCollectionView

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ["plain", "кириллица", "\u2028\u2029", '"quoted"\\', "=1+1", "", "</script>", "😀"]


class Pages(WholeCollectionMixin, LimitOffsetPagination):
    default_limit = 2


class ByPage(WholeCollectionMixin, PageNumberPagination):
    page_size = 2


class ByCursor(WholeCollectionMixin, CursorPagination):
    page_size = 2
    ordering = "id"


class Worded(WholeCollectionMixin, LimitOffsetPagination):
    """In MoySklad's format."""

    default_limit = 2

    def get_paginated_response(self, data):
        meta = {"href": "x", "size": self.count, "limit": self.limit, "offset": self.offset}
        return Response({"context": {"employee": None}, "meta": meta, "rows": data, "tail": 1})


class Unprepared(LimitOffsetPagination):
    default_limit = 2


class GroupRow(serializers.ModelSerializer):
    permissions = serializers.SerializerMethodField()

    class Meta:
        model = Group
        fields = ("id", "name", "permissions")

    def get_permissions(self, group):
        return [permission.codename for permission in group.permissions.all()]


class Groups(WholeCollectionView, generics.ListAPIView):
    queryset = Group.objects.order_by("id")
    serializer_class = GroupRow
    permission_classes = (AllowAny,)
    pagination_class = Pages
    renderer_classes = (JSONRenderer, NDJSONRenderer, CSVRenderer)
    chunk_size = 3


class Task:
    url = "http://testserver/"


def asked(view=Groups, *, task=Task(), accept="application/json", **initkwargs):  # noqa: B008
    request = RequestFactory().get("/", headers={"Accept": accept})
    request.async_task = task
    return view.as_view(**initkwargs)(request)


def streamed(view=Groups, **options):
    answer = asked(view, **options)
    assert isinstance(answer, StreamingHttpResponse)
    with closing(answer):
        return b"".join(answer)


class AtOnce(JSONRenderer):
    """A renderer that we do not know: it gets the whole document."""

    def render(self, *args, **kwargs):
        return super().render(*args, **kwargs)


def at_once(view=Groups, **options):
    answer = asked(view, **{"renderer_classes": (AtOnce,), **options})
    assert not answer.streaming
    return answer.render().content


@pytest.fixture
def groups(db):
    made = [Group.objects.create(name=name) for name in NAMES]
    made[0].permissions.set(Permission.objects.order_by("id")[:2])
    return made


VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


# JSON ----------------------------------------------------------------------------------------------------------------


class TestJSON:
    @pytest.mark.seed("S001-9", "S001-39", "S001-40")
    @pytest.mark.parametrize("pages", [Pages, ByPage, ByCursor, Worded, None])
    def test_streamed_rows_equal_the_rendered_document(self, groups, pages):
        body = streamed(pagination_class=pages)
        assert body == at_once(pagination_class=pages)
        document = json.loads(body)
        rows = document if pages is None else document.get("rows") or document["results"]
        assert [row["name"] for row in rows] == NAMES

    @pytest.mark.parametrize("indent", [0, 1, 4, 8])
    @pytest.mark.parametrize("pages", [Worded, None])
    def test_indented_document_is_equal(self, groups, pages, indent):
        accept = f"application/json; indent={indent}"
        assert streamed(pagination_class=pages, accept=accept) == at_once(pagination_class=pages, accept=accept)

    @pytest.mark.parametrize("pages", [Pages, Worded, None])
    @pytest.mark.parametrize("accept", ["application/json", "application/json; indent=4"])
    def test_empty_collection_is_equal(self, pages, accept):
        assert streamed(pagination_class=pages, accept=accept) == at_once(pagination_class=pages, accept=accept)

    @pytest.mark.parametrize("options", [{"compact": False}, {"ensure_ascii": True}])
    def test_renderer_options_apply(self, groups, options):
        ours, theirs = type("Ours", (JSONRenderer,), options), type("Theirs", (AtOnce,), options)
        assert streamed(renderer_classes=(ours,)) == at_once(renderer_classes=(theirs,))

    @hypothesis_settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(rows=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=4))
    def test_fuzzed_rows_are_equal(self, groups, rows):
        class Any(Groups):
            queryset = Group.objects.order_by("id")[: len(rows)]
            chunk_size = len(NAMES)

            def represent(self, portion):
                return rows

        assert streamed(Any, pagination_class=Worded) == at_once(Any, pagination_class=Worded)

    def test_synchronous_request_gets_its_page(self, groups):
        answer = asked(task=None)
        assert not answer.streaming
        assert len(answer.data["results"]) == 2

    def test_filter_queryset_of_the_view_applies(self, groups):
        class Filtered(Groups):
            def filter_queryset(self, queryset):
                return queryset.filter(name__startswith="p")

        assert [row["name"] for row in json.loads(streamed(Filtered))["results"]] == ["plain"]

    def test_pagination_class_without_the_mixin_raises(self, groups):
        with pytest.raises(ImproperlyConfigured, match="Unprepared"):
            streamed(pagination_class=Unprepared)

    def test_related_rows_are_prefetched_by_chunk(self, groups, django_assert_num_queries):
        prefetched = Group.objects.order_by("id").prefetch_related("permissions")
        assert streamed(queryset=prefetched) == streamed()


# NDJSON and CSV ------------------------------------------------------------------------------------------------------


class TestLines:
    def test_every_ndjson_line_is_a_row(self, groups):
        lines = streamed(accept="application/x-ndjson").decode().split("\n")
        assert lines.pop() == ""
        assert [json.loads(line)["name"] for line in lines] == NAMES

    def test_csv_has_a_header_and_every_row(self, groups):
        answer = asked(accept="text/csv")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        with closing(answer):
            table = list(csv.reader(io.StringIO(b"".join(answer).decode())))
        assert table[0] == ["id", "name", "permissions"]
        assert [row[1] for row in table[1:]] == [f"'{name}" if name.startswith("=") else name for name in NAMES]
        assert len(json.loads(table[1][2])) == 2

    @pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
    def test_csv_formula_is_escaped(self, text):
        assert cell(text) == f"'{text}"

    @pytest.mark.parametrize(
        ("value", "text"), [(-5, "-5"), (1.5, "1.5"), (None, ""), (True, "True"), ({"a": 1}, '{"a": 1}')]
    )
    def test_csv_value_that_is_no_text_is_unchanged(self, value, text):
        assert cell(value) == text

    @pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
    def test_synchronous_request_gets_the_rows_of_its_page(self, groups, accept):
        body = asked(task=None, accept=accept).render().content.decode()
        assert "plain" in body and "quoted" not in body
        assert "count" not in body

    @pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
    def test_error_is_one_row(self, accept):
        class Refusing(Groups):
            def get_queryset(self):
                raise NotFound("gone")

        answer = asked(Refusing, task=None, accept=accept).render()
        assert answer.status_code == 404
        assert "gone" in answer.content.decode()


# Consistent reads ----------------------------------------------------------------------------------------------------


class TestMoment:
    def test_progress_is_counted(self, groups):
        answer = asked()
        with closing(answer):
            assert (answer.progress.done, answer.progress.total) == (0, None)
            b"".join(answer)
        assert (answer.progress.done, answer.progress.total) == (len(NAMES), len(NAMES))

    def test_concurrent_writes_are_not_seen(self, groups):
        def change():
            try:
                Group.objects.filter(name="plain").delete()
                Group.objects.create(name="new")
                Group.objects.filter(name="").update(name="changed")
            finally:
                connections.close_all()

        class Slow(Groups):
            def represent(self, portion):
                if not self.changed:
                    type(self).changed = True
                    thread = threading.Thread(target=change)
                    thread.start()
                    thread.join()
                return super().represent(portion)

            changed = False

        document = json.loads(streamed(Slow, chunk_size=2))
        assert Slow.changed
        assert [row["name"] for row in document["results"]] == NAMES
        assert document["count"] == len(NAMES)
        assert set(Group.objects.values_list("name", flat=True)) == {*NAMES, "new", "changed"} - {"plain", ""}

    def test_related_rows_are_of_the_same_snapshot(self, groups):
        """Even if they are read one by one with the rows."""

        class Slow(Groups):
            def represent(self, portion):
                thread = threading.Thread(target=strip)
                thread.start()
                thread.join()
                return super().represent(portion)

        def strip():
            try:
                groups[0].permissions.clear()
            finally:
                connections.close_all()

        assert len(json.loads(streamed(Slow))["results"][0]["permissions"]) == 2

    def test_snapshot_is_read_only(self, groups):
        if connection.vendor == "sqlite":
            return  # there a read transaction may become a write transaction
        with consistent_read.of("default") as alias, pytest.raises(Exception, match="(?i)read.only"):
            Group.objects.using(alias).create(name="written")

    @pytest.mark.parametrize("end", ["exhausted", "closed", "failed"])
    def test_connection_is_closed_however_the_stream_ends(self, groups, end):
        class Failing(Groups):
            def represent(self, portion):
                if end == "failed":
                    raise RuntimeError("a view's own mistake")
                return super().represent(portion)

        before = set(vars_of_connections())
        answer = asked(Failing, pagination_class=None)
        chunks = iter(answer)
        if end == "exhausted":
            b"".join(chunks)
        elif end == "failed":
            with pytest.raises(RuntimeError):
                next(chunks)
        answer.close()
        assert set(vars_of_connections()) == before

    def test_uncommitted_rows_of_the_callers_transaction_are_seen(self, groups):
        with transaction.atomic(), transaction.atomic():
            Group.objects.create(name="not committed")
            assert "not committed" in streamed().decode()

    def test_atomic_requests_does_not_prevent_the_snapshot(self, groups):
        connection.settings_dict["ATOMIC_REQUESTS"] = True
        try:
            with transaction.atomic(), consistent_read.of("default") as alias:
                assert alias != "default"
        finally:
            connection.settings_dict["ATOMIC_REQUESTS"] = False


def vars_of_connections():
    return [made.alias for made in connections.all(initialized_only=True)]


class TestMemory:
    def test_rows_do_not_accumulate(self, monkeypatch):
        """At most two chunks of rows are alive at a time."""
        User.objects.bulk_create(User(username=f"{number}") for number in range(5000))
        alive, most = weakref.WeakSet(), [0]

        class Row(dict):
            __slots__ = ("__weakref__",)
            __hash__ = object.__hash__

        class Users(Groups):
            queryset = User.objects.order_by("id")
            chunk_size = 100

            def represent(self, portion):
                rows = [Row(name=user.username) for user in portion]
                alive.update(rows)
                gc.collect(0)
                most[0] = max(most[0], len(alive))
                return rows

        assert len(json.loads(streamed(Users))["results"]) == 5000
        assert most[0] <= 201
