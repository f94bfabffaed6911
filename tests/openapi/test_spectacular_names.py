"""Paths and names of a project's own that are like others: which view an operation has, and what keeps its name."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.versioning import URLPathVersioning
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from django_asyncexchange.decorators import allow_async
from django_asyncexchange.openapi.schemas import in_3_0

from .test_spectacular import Row, generated, triggers

pytestmark = pytest.mark.urls(__name__)


class PreferTask(serializers.Serializer[Any]):
    text = serializers.CharField()


class Rows(GenericViewSet[Any]):
    serializer_class = Row

    def retrieve(self, request: Any, pk: str) -> Response:
        return Response()

    @allow_async
    def export(self, request: Any) -> Response:
        return Response()


class Parents(GenericViewSet[Any]):
    serializer_class = Row

    @allow_async
    def list(self, request: Any, parent_pk: str) -> Response:
        return Response()


class Versioned(APIView):
    versioning_class = URLPathVersioning

    @allow_async
    @extend_schema(responses=Row)
    def get(self, request: Any, version: str) -> Response:
        return Response()


class Named(APIView):
    @extend_schema(operation_id="prefer_status", responses=PreferTask)
    def get(self, request: Any) -> Response:
        return Response()


urlpatterns = [
    path("api/rows/<int:pk>/", Rows.as_view({"get": "retrieve"})),
    path("api/rows/export/", Rows.as_view({"get": "export"})),
    path("api/parents/<int:parent_pk>/rows/", Parents.as_view({"get": "list"})),
    path("api/r<str:version>/versioned/", Versioned.as_view()),
    path("api/named/", Named.as_view()),
]


def test_marked_action_next_to_a_detail_route_has_the_preference():
    paths = generated()["paths"]
    assert triggers(paths["/api/rows/export/"]["get"]) == {"Prefer"}
    assert triggers(paths["/api/rows/{id}/"]["get"]) == set()


def test_version_may_be_a_part_of_a_segment():
    assert "Prefer" in triggers(generated()["paths"]["/api/rv1/versioned/"]["get"])


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"SCHEMA_PATH_PREFIX": "/api", "SCHEMA_PATH_PREFIX_INSERT": "/public"}, "/public/api"),
        ({"SCHEMA_PATH_PREFIX_TRIM": True}, ""),
        ({"SCHEMA_PATH_PREFIX": "/api", "SCHEMA_PATH_PREFIX_TRIM": True}, ""),
        (
            {
                "SCHEMA_PATH_PREFIX": "/api",
                "SCHEMA_PATH_PREFIX_TRIM": True,
                "SCHEMA_PATH_PREFIX_INSERT": "/public/v9",
            },
            "/public/v9",
        ),
    ],
)
def test_operation_under_another_prefix_has_the_preference_of_its_own_view(options, start):
    paths = generated(**options)["paths"]
    assert triggers(paths[f"{start}/rows/export/"]["get"]) == {"Prefer"}
    assert triggers(paths[f"{start}/rows/{{id}}/"]["get"]) == set()


def test_path_in_camel_case_has_the_preference():
    paths = generated(CAMELIZE_NAMES=True)["paths"]
    assert triggers(paths["/api/parents/{parentPk}/rows/"]["get"]) == {"Prefer"}


def test_operation_and_component_of_the_project_keep_their_names(capsys):
    content = generated()
    named = content["paths"]["/api/named/"]["get"]
    assert named["operationId"] == "prefer_status"
    assert content["components"]["schemas"]["PreferTask"]["properties"].keys() == {"text"}
    assert "collisions" not in capsys.readouterr().err


def test_links_and_documents_refer_to_the_task_where_the_project_has_its_names():
    content = generated()
    accepted = content["paths"]["/api/rows/export/"]["get"]["responses"]["202"]
    status = content["paths"]["/async/tasks/{id}"]["get"]["operationId"]
    assert status != "prefer_status"
    assert accepted["links"][status]["operationId"] == status
    key = accepted["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert "state" in content["components"]["schemas"][key]["properties"]


def test_mounts_whose_names_differ_by_a_dash_have_operations_of_their_own(capsys):
    ticket = "tickets.dialect.Ticket"
    mounts = {"my-tickets": {"CLASS": ticket, "PREFIX": "/a"}, "my_tickets": {"CLASS": ticket, "PREFIX": "/b"}}
    paths = generated(mounts=mounts)["paths"]
    assert paths["/a/tickets/{id}"]["get"]["operationId"] != paths["/b/tickets/{id}"]["get"]["operationId"]
    assert "collisions" not in capsys.readouterr().err


@pytest.mark.parametrize("types", ["null", ["string", "integer", "null"]])
def test_example_of_the_project_that_looks_like_a_schema_stays_as_it_is_in_openapi_3_0(types):
    media_type = {"schema": {"type": ["string", "null"]}, "example": {"type": types}}
    converted = in_3_0({"responses": {"default": {"content": {"application/json": media_type}}}})
    found = converted["responses"]["default"]["content"]["application/json"]
    assert found == {"schema": {"type": "string", "nullable": True}, "example": {"type": types}}
