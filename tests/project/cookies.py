"""Views that set cookies, show forms and leave messages."""

from __future__ import annotations

from http.cookies import Morsel

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.i18n import set_language

from django_asyncexchange.decorators import allow_async

CANARY = "canary-cookie"


def with_cookies(response: HttpResponse | StreamingHttpResponse) -> HttpResponse | StreamingHttpResponse:
    """``response`` with cookies of every kind, and a line that is no ``response.cookies``."""
    response.set_cookie("plain", CANARY)
    response.set_cookie("aged", "1", max_age=3600, secure=True, httponly=True, samesite="Strict")
    response.set_cookie("dated", "2", expires="Sun, 01 Jan 2040 00:00:00 GMT", path="/cookies/")
    response.set_cookie("wide", "3", domain="example.org", samesite="None")
    response.set_cookie("quoted", 'a "b"; c, \\d é')
    response.delete_cookie("gone", path="/old/", domain="example.org")
    if "partitioned" in Morsel._reserved:  # type: ignore[attr-defined]
        response.set_cookie("parted", "7", secure=True)
        response.cookies["parted"]["partitioned"] = True
    response.headers["Set-Cookie"] = "line=8; Path=/; SameSite=Lax"
    return response


@allow_async
def several(request: HttpRequest, status: int = 200) -> HttpResponse:
    return with_cookies(HttpResponse("several", status=status))


@allow_async
async def asynchronous(request: HttpRequest) -> HttpResponse:
    return with_cookies(HttpResponse("asynchronous"))


@allow_async
def stream(request: HttpRequest) -> StreamingHttpResponse:
    return with_cookies(StreamingHttpResponse(iter([b"stre", b"am"])))


@allow_async
async def asynchronous_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def chunks():
        yield b"stre"
        yield b"am"

    return with_cookies(StreamingHttpResponse(chunks()))


@allow_async
def moved(request: HttpRequest) -> HttpResponse:
    return with_cookies(HttpResponseRedirect("/cookies/plain/"))


@allow_async
def cacheable(request: HttpRequest) -> HttpResponse:
    return with_cookies(HttpResponse("cacheable", headers={"ETag": '"one"'}))


@allow_async
def plain(request: HttpRequest) -> HttpResponse:
    """Sets no cookie, and shows no token."""
    return HttpResponse("plain")


@allow_async
@ensure_csrf_cookie
def ensured(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ensured")


@allow_async
def form(request: HttpRequest) -> HttpResponse:
    """A form whose POST leaves a message and leads to the next page."""
    if request.method == "POST" and request.POST.get("name"):
        messages.success(request, f"Saved {request.POST['name']}")
        return HttpResponseRedirect("/cookies/next/")
    return HttpResponse(f"token={get_token(request)}")


protected = csrf_protect(form)


@allow_async
def next_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(", ".join(str(message) for message in messages.get_messages(request)))


@allow_async
def logs_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username="anna"), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse("logged in")


urlpatterns = [
    path(
        "cookies/",
        include(
            [
                path("several/", several),
                path("several/<int:status>/", several),
                path("asynchronous/", asynchronous),
                path("stream/", stream),
                path("asynchronous-stream/", asynchronous_stream),
                path("moved/", moved),
                path("cacheable/", cacheable),
                path("plain/", plain),
                path("ensured/", ensured),
                path("form/", form),
                path("protected/", protected),
                path("next/", next_page),
                path("logs-in/", logs_in),
                path("language/", allow_async(set_language)),
            ]
        ),
    ),
    path("", include("tests.urls")),
]


def Visitor(get_response):
    """Middleware that gives each new browser a cookie."""

    def middleware(request):
        response = get_response(request)
        if "visitor" not in request.COOKIES:
            response.set_cookie("visitor", "new")
        return response

    return middleware


def Outer(get_response):
    """Middleware that sets a cookie of the view's name, beside one of its own."""

    def middleware(request):
        response = get_response(request)
        where = "run" if request.async_task else "web"
        response.set_cookie("plain", where)
        response.set_cookie("own", where)
        return response

    return middleware
