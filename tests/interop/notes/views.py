"""Views that return what they know of their user, each protected as the documentation of one app has it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from allauth.account.decorators import reauthentication_required, verified_email_required
from django.contrib.auth import authenticate
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import TemplateView
from django_otp.decorators import otp_required
from drf_spectacular.utils import extend_schema
from guardian.decorators import permission_required
from guardian.shortcuts import get_objects_for_user
from ninja import NinjaAPI
from ninja.security import APIKeyHeader, HttpBearer, django_auth
from oauth2_provider.contrib.rest_framework import TokenHasScope
from oauth2_provider.decorators import protected_resource
from oauth2_provider.views.generic import ProtectedResourceView
from rest_framework import serializers
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet
from rules.contrib.rest_framework import AutoPermissionViewSetMixin
from rules.contrib.views import permission_required as rules_permission_required
from silk.profiling.profiler import silk_profile

from django_asyncexchange.decorators import allow_async

from .models import Note
from .tasks import note as note_by_celery


def caller(request: HttpRequest) -> dict[str, object]:
    """The user, in every way in which a view may ask for it."""
    user = request.user
    if user is None:
        return {"user": None}
    device = getattr(user, "otp_device", None)
    return {
        "user": user.pk,
        "name": user.get_username(),
        "is_authenticated": user.is_authenticated,
        "backend_permissions": sorted(user.get_all_permissions()),
        "device": device and device.persistent_id,
        "is_verified": bool(hasattr(user, "is_verified") and user.is_verified()),
        "address": request.META["REMOTE_ADDR"],
    }


@allow_async
@login_required
def whoami(request: HttpRequest) -> JsonResponse:
    return JsonResponse(caller(request))


@allow_async
def page(request: HttpRequest) -> HttpResponse:
    """HTML with a query and a static file, for middleware that rewrites pages."""
    return render(request, "notes/page.html", {"notes": Note.objects.all()})


@allow_async
class Page(TemplateView):
    template_name = "notes/page.html"


@allow_async
@login_required
def write(request: HttpRequest) -> JsonResponse:
    """Create, change and delete a note, for apps that record history."""
    note = Note.objects.create(author=request.user, text=request.POST["text"])
    note.text += "!"
    note.save()
    note.delete()
    return JsonResponse({"text": note.text}, status=201)


@allow_async
@csrf_exempt
@login_required
def keep_file(request: HttpRequest) -> HttpResponse:
    """For django-storages: save an upload in the project's storage, and return what is read there."""
    name = default_storage.save("kept.txt", request.FILES["file"])
    with default_storage.open(name) as file:
        return HttpResponse(file.read(), content_type="text/plain")


@allow_async
@login_required
def note_later(request: HttpRequest) -> JsonResponse:
    """For Celery: send a task of the project's own."""
    note_by_celery.delay(request.user.pk, "by Celery")
    return JsonResponse(caller(request), status=202)


@allow_async
def broken(request: HttpRequest) -> JsonResponse:
    raise ZeroDivisionError("for Sentry")


@allow_async
@login_required
@silk_profile(name="profiled")
def profiled(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"notes": Note.objects.count(), **caller(request)})


@allow_async
@csrf_exempt
def login_by_hand(request: HttpRequest) -> JsonResponse:
    """For django-axes: a view that checks a password itself."""
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    return JsonResponse({"user": user and user.pk}, status=200 if user else 401)


# Guardian, rules, allauth, OTP ----------------------------------------------------------------------------------------


@allow_async
@login_required
def my_notes(request: HttpRequest) -> JsonResponse:
    notes = get_objects_for_user(request.user, "notes.view_note")
    return JsonResponse({"notes": [note.text for note in notes.order_by("text")]})


@allow_async
@permission_required("notes.view_note", (Note, "pk", "pk"), return_403=True)
def guarded_note(request: HttpRequest, pk: int) -> JsonResponse:
    return JsonResponse({"text": Note.objects.get(pk=pk).text, **caller(request)})


@allow_async
@rules_permission_required("notes.change_note", fn=lambda request, pk: Note.objects.get(pk=pk), raise_exception=True)
def ruled_note(request: HttpRequest, pk: int) -> JsonResponse:
    return JsonResponse({"text": Note.objects.get(pk=pk).text, **caller(request)})


@allow_async
@verified_email_required
def with_verified_email(request: HttpRequest) -> JsonResponse:
    return JsonResponse(caller(request))


@allow_async
@reauthentication_required
def with_recent_login(request: HttpRequest) -> JsonResponse:
    return JsonResponse(caller(request))


@allow_async
@otp_required
def with_second_factor(request: HttpRequest) -> JsonResponse:
    return JsonResponse(caller(request))


# Django REST framework ------------------------------------------------------------------------------------------------


class NoteSerializer(serializers.ModelSerializer):
    class Meta:
        model = Note
        fields = ["text"]


class Notes(AutoPermissionViewSetMixin, ModelViewSet):
    async_exchange = True
    queryset = Note.objects.order_by("pk")
    serializer_class = NoteSerializer
    permission_type_map = {**AutoPermissionViewSetMixin.permission_type_map, "create": None, "list": None}

    def perform_create(self, serializer):
        serializer.save(author=self.request.user)


class Whoami(APIView):
    """The user, and what authenticated it."""

    async_exchange = True
    permission_classes = [IsAuthenticated]

    def get(self, request) -> Response:
        auth = request.auth
        said = {"auth": type(auth).__name__, "claim": auth["user_id"] if hasattr(auth, "payload") else None}
        return Response({**caller(request), **said})


class ByPassword(Whoami):
    """For django-axes: the password comes with each call."""

    authentication_classes = [BasicAuthentication]


class Scoped(Whoami):
    """For oauth-toolkit: also for an application without a user."""

    permission_classes = [TokenHasScope]
    required_scopes = ["read"]

    def get(self, request) -> Response:
        return Response({**caller(request), "client": request.auth.application.name, "scope": request.auth.scope})


@extend_schema(exclude=True)
class ChatCompletions(APIView):
    """For the openai SDK: note the last message, and return it, at once or as a stream."""

    async_exchange = True
    permission_classes = [IsAuthenticated]

    def post(self, request) -> HttpResponse:
        text = request.data["messages"][-1]["content"]
        Note.objects.create(author=request.user, text=text)
        if request.data.get("stream"):
            return StreamingHttpResponse(self.chunks(text.split()), content_type="text/event-stream")
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        return JsonResponse(self.completion("chat.completion", choice))

    def completion(self, kind: str, choice: dict[str, object]) -> dict[str, object]:
        return {"id": "one", "object": kind, "created": 0, "model": "echo", "choices": [choice]}

    def chunks(self, words: list[str]) -> Iterator[bytes]:
        for word in words:
            choice = {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": word}}
            yield f"data: {json.dumps(self.completion('chat.completion.chunk', choice))}\n\n".encode()
        yield b"data: [DONE]\n\n"


class Open(APIView):
    async_exchange = True
    permission_classes = [AllowAny]

    def get(self, request) -> Response:
        return Response({"open": True})


@allow_async
@protected_resource(scopes=["read"])
def protected(request: HttpRequest) -> JsonResponse:
    """oauth-toolkit without Django REST framework: the decorator reads the token itself."""
    return JsonResponse({"owner": request.resource_owner.pk, **caller(request)})


@allow_async
class Protected(ProtectedResourceView):
    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"owner": request.resource_owner.pk, **caller(request)})


# Ninja ----------------------------------------------------------------------------------------------------------------


class Bearer(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        return "a machine" if token == "the token" else None


ninja = NinjaAPI(title="notes", urls_namespace="notes-1.0.0")


@ninja.get("/whoami", auth=django_auth)
def ninja_whoami(request: HttpRequest):
    return caller(request)


@ninja.post("/write", auth=django_auth)
def ninja_write(request: HttpRequest, text: str):
    return {"text": text, **caller(request)}


@ninja.get("/machine", auth=Bearer())
def ninja_machine(request: HttpRequest):
    return {"auth": request.auth}


class Key(APIKeyHeader):
    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Group | None:
        return Group.objects.filter(name=key).first()


@ninja.get("/keyed", auth=Key())
def ninja_keyed(request: HttpRequest):
    return {"shop": request.auth.name, **caller(request)}
