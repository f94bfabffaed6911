"""Views of every kind. Called immediately or deferred, each returns the same."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponsePermanentRedirect,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.generic import View
from rest_framework import permissions, serializers, status, viewsets
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

EVERY_BYTE = bytes(range(256))
LARGE = EVERY_BYTE * 1024
"""More than ``INLINE_BYTES``: it goes through the storage."""


# Status ---------------------------------------------------------------------------------------------------------------


def answer(request: HttpRequest, code: int) -> HttpResponse:
    return HttpResponse(f"<p>{code}</p>", status=code)


def created(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"id": 7}, status=201, headers={"Location": "/zoo/things/7/", "ETag": '"7"'})


def no_content(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


def not_modified(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=304, headers={"ETag": '"7"'})


def partial(request: HttpRequest) -> HttpResponse:
    return HttpResponse(EVERY_BYTE[10:20], status=206, headers={"Content-Range": "bytes 10-19/256"})


def unavailable(request: HttpRequest) -> HttpResponse:
    return HttpResponse("come back later", status=503, content_type="text/plain", headers={"Retry-After": "120"})


def own_reason(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fine", status=200, reason="Better Than OK")


def moved(request: HttpRequest) -> HttpResponse:
    return HttpResponsePermanentRedirect("https://elsewhere.example/новое?a=1")


def found(request: HttpRequest) -> HttpResponse:
    return redirect("zoo:moved")


def see_other(request: HttpRequest) -> HttpResponse:
    response = HttpResponseRedirect("//elsewhere.example/")
    response.status_code = 303
    return response


def lost(request: HttpRequest) -> HttpResponse:
    raise Http404("no such animal")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied("not yours")


def suspicious(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("that looks odd")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("this animal is ill")


def cut_off(request: HttpRequest) -> HttpResponse:
    """For OWNER: loses its database connection."""
    raise OperationalError("no connection")


def not_allowed(request: HttpRequest) -> HttpResponse:
    return HttpResponseNotAllowed(["GET", "HEAD"])


# Headers --------------------------------------------------------------------------------------------------------------


class ManyHeaders(HttpResponse):
    """Django keeps one value a header; a subclass may send several."""

    def items(self) -> Iterable[tuple[str, str]]:
        return [
            ("Link", '</zoo/?page=2>; rel="next"'),
            ("X-First", "1"),
            ("WWW-Authenticate", 'Basic realm="zoo"'),
            ("Link", '</zoo/?page=9>; rel="last"'),
            ("WWW-Authenticate", 'Bearer realm="zoo"'),
            *super().items(),
        ]


def duplicates(request: HttpRequest) -> HttpResponse:
    return ManyHeaders("twice", content_type="text/plain")


def cookies(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("a cookie for you")
    response.set_cookie("biscuit", "chocolate", httponly=True)
    response.headers["X-After-Cookie"] = "yes"
    return response


def framing(request: HttpRequest) -> HttpResponse:
    """Sets headers that belong to a server, a session or a connection."""
    names = ("Date", "Server", "Connection", "Keep-Alive", "Set-Cookie", "Strict-Transport-Security", "Upgrade")
    return HttpResponse("framed", headers=dict.fromkeys(names, "mine"))


def odd_headers(request: HttpRequest) -> HttpResponse:
    names = {"x-lower-case": "kept", "X-UPPER": "KEPT", "X-Empty": "", "X-Latin": "café", "X-Cyrillic": "привет"}
    return HttpResponse("odd", headers=names)


def no_type(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(b"\x00\x01")
    del response.headers["Content-Type"]
    return response


@cache_control(public=True, max_age=3600)
def cacheable(request: HttpRequest) -> HttpResponse:
    return HttpResponse("keep me", headers={"Vary": "Accept", "Last-Modified": "Tue, 16 Feb 2021 12:30:00 GMT"})


# Bodies ---------------------------------------------------------------------------------------------------------------


def empty(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def binary(request: HttpRequest) -> HttpResponse:
    return HttpResponse(EVERY_BYTE, content_type="application/octet-stream")


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(LARGE, content_type="application/octet-stream")


def unicode_text(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Остатки по складам 🐘", content_type="text/plain; charset=utf-8")


def latin_text(request: HttpRequest) -> HttpResponse:
    return HttpResponse("déjà vu", content_type="text/plain; charset=iso-8859-1")


def compressed(request: HttpRequest) -> HttpResponse:
    body = gzip.compress(b"squeezed" * 100, mtime=0)
    return HttpResponse(body, content_type="text/plain", headers={"Content-Encoding": "gzip"})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def rows() -> Iterator[str]:
        for number in range(1000):
            yield f"{number};строка\r\n"

    return StreamingHttpResponse(rows(), content_type="text/csv", headers={"X-Accel-Buffering": "no"})


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def rows() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield b"%d\n" % number

    return StreamingHttpResponse(rows(), content_type="text/plain")


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(io.BytesIO(EVERY_BYTE), as_attachment=True, filename="отчёт 1.pdf")


def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "project/greeting.html", {"greeting": "Hello"})


# What the request brings ----------------------------------------------------------------------------------------------


@csrf_exempt
def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse({name: request.POST.getlist(name) for name in request.POST})


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    files = [
        {
            "field": field,
            "name": one.name,
            "type": one.content_type,
            "size": one.size,
            "sha256": hashlib.sha256(one.read()).hexdigest(),
        }
        for field, several in request.FILES.lists()
        for one in several
    ]
    return JsonResponse({"files": files, "fields": dict(request.POST.lists())})


@csrf_exempt
def raw(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body, content_type=request.content_type or "application/octet-stream")


def place(request: HttpRequest, name: str = "") -> HttpResponse:
    """The URL parts that the view sees."""
    return JsonResponse(
        {
            "method": request.method,
            "name": name,
            "path": request.path,
            "full": request.get_full_path(),
            "absolute": request.build_absolute_uri(),
            "query": [[key, request.GET.getlist(key)] for key in request.GET],
            "raw": request.META["QUERY_STRING"],
            "secure": request.is_secure(),
            "host": request.get_host(),
            "address": request.META.get("REMOTE_ADDR"),
            "route": request.resolver_match.route,
        }
    )


def headers(request: HttpRequest) -> HttpResponse:
    """The request's headers without the cookie of a test's session."""
    return JsonResponse({name: text for name, text in request.headers.items() if text and name != "Cookie"})


def task(request: HttpRequest) -> HttpResponse:
    """The task of this run."""
    mine = request.async_task
    return JsonResponse({"id": str(mine.id), "url": mine.url, "state": mine.state} if mine else {})


def person(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"user": request.user.username, "authenticated": request.user.is_authenticated})


async def async_person(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"user": user.username, "authenticated": user.is_authenticated})


def locale(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "language": translation.get_language(),
            "text": gettext("Monday"),
            "zone": timezone.get_current_timezone_name(),
        }
    )


@csrf_protect
def guarded_form(request: HttpRequest) -> HttpResponse:
    messages.success(request, "Saved")
    return HttpResponse(f"saved {request.POST.get('name')}")


# Kinds of views -------------------------------------------------------------------------------------------------------


async def asynchronous(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"async": True, "body": request.body.decode()})


class ClassView(View):
    def post(self, request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(f"posted {number}", status=202)


class AsyncClassView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("got")

    async def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"posted by {(await request.auser()).username}")


class Thing(serializers.Serializer[Any]):
    name = serializers.CharField()
    amount = serializers.DecimalField(max_digits=8, decimal_places=2)


class Rest(APIView):
    def post(self, request: Any) -> Response:
        thing = Thing(data=request.data)
        thing.is_valid(raise_exception=True)
        return Response({"thing": thing.data, "user": request.user.username}, status=status.HTTP_201_CREATED)

    put = post


@api_view(["GET", "POST"])
def rest_function(request: Any) -> Response:
    return Response({"user": request.user.username, "data": request.data, "query": request.query_params})


@api_view(["POST"])
def rest_error(request: Any) -> Response:
    raise ValidationError({"name": ["Такого имени нет"]}, code="unknown")


class GroupSerializer(serializers.ModelSerializer[Group]):
    class Meta:
        model = Group
        fields = ("id", "name")


class Groups(viewsets.ModelViewSet[Group]):
    queryset = Group.objects.order_by("id")
    serializer_class = GroupSerializer
    permission_classes = (permissions.IsAuthenticated,)


router = SimpleRouter()
router.register("groups", Groups)

app_name = "zoo"
urlpatterns = [
    path("answer/<int:code>/", answer),
    path("created/", created),
    path("no-content/", no_content),
    path("not-modified/", not_modified),
    path("partial/", partial),
    path("unavailable/", unavailable),
    path("own-reason/", own_reason),
    path("moved/", moved, name="moved"),
    path("found/", found),
    path("see-other/", see_other),
    path("lost/", lost),
    path("forbidden/", forbidden),
    path("suspicious/", suspicious),
    path("broken/", broken),
    path("not-allowed/", not_allowed),
    path("duplicates/", duplicates),
    path("cookies/", cookies),
    path("framing/", framing),
    path("odd-headers/", odd_headers),
    path("no-type/", no_type),
    path("cacheable/", cacheable),
    path("empty/", empty),
    path("binary/", binary),
    path("large/", large, name="large"),
    path("unicode/", unicode_text),
    path("latin/", latin_text),
    path("compressed/", compressed),
    path("stream/", stream),
    path("async-stream/", async_stream),
    path("file/", file),
    path("template/", template),
    path("form/", form),
    path("upload/", upload),
    path("raw/", raw),
    path("place/", place, name="place"),
    path("place/<path:name>/", place),
    path("headers/", headers),
    path("task/", task),
    path("person/", person),
    path("async-person/", async_person),
    path("locale/", locale),
    path("guarded-form/", guarded_form),
    path("asynchronous/", asynchronous),
    path("class/<int:number>/", ClassView.as_view()),
    path("async-class/", AsyncClassView.as_view()),
    path("rest/", Rest.as_view()),
    path("rest-function/", rest_function),
    path("rest-error/", rest_error),
    *router.urls,
]
