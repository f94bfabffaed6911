"""Views with permissions, throttles and methods; and which of them may be deferred."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin, UserPassesTestMixin
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.generic import View
from rest_framework import permissions, renderers, throttling, viewsets
from rest_framework.authentication import TokenAuthentication
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from django_asyncexchange.decorators import allow_async, never_async

from .views import GroupSerializer

ran: list[str] = []
"""The paths of all calls whose view has run."""


def answer(request: Any) -> HttpResponse:
    ran.append(request.path)
    return JsonResponse({"ran": True})


# Permissions ----------------------------------------------------------------------------------------------------------


class Closed(APIView):
    """For users with a token."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (permissions.IsAuthenticated,)

    def get(self, request: Any) -> Response:
        ran.append(request.path)
        auth = request.auth
        return Response({"user": request.user.username, "auth": type(auth).__name__, "same": auth == request.auth})

    post = get


class Staff(Closed):
    permission_classes = (permissions.IsAdminUser,)


class ReadsData(Closed):
    class HasName(permissions.BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            return "name" in request.data

    permission_classes = (HasName,)

    def post(self, request: Any) -> Response:
        return Response(request.data)


class Rarely(throttling.UserRateThrottle):
    rate = "2/day"
    scope = "rarely"


class Throttled(Closed):
    throttle_classes = (Rarely,)


class OnlyJson(Closed):
    renderer_classes = (renderers.JSONRenderer,)


class Owns(permissions.BasePermission):
    def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
        return False


class Foreign(Closed):
    permission_classes = (permissions.IsAuthenticated, Owns)

    def post(self, request: Any) -> Response:
        self.check_object_permissions(request, object())
        return Response()


class Members(LoginRequiredMixin, View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


class Trusted(PermissionRequiredMixin, View):
    permission_required = "auth.add_group"
    raise_exception = True

    post = Members.post


class Tested(UserPassesTestMixin, View):
    def test_func(self) -> bool:
        return self.request.user.username == "anna"

    raise_exception = True
    post = Members.post


class MembersTested(LoginRequiredMixin, Tested):
    """Both: the test may rely on a logged-in user."""

    raise_exception = False

    def test_func(self) -> bool:
        return self.request.user.email.endswith("@example.com")


class TestedElsewhere(UserPassesTestMixin, View):
    def get_test_func(self) -> Any:
        return lambda: False

    raise_exception = True
    post = Members.post


class AsyncMembers(LoginRequiredMixin, View):
    async def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


class Prepared(LoginRequiredMixin, View):
    """Needs what ``setup`` has prepared, and a parameter of ``as_view``."""

    colour = "grey"

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.label = f"{self.colour} {kwargs['number']}"

    def post(self, request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(self.label)


# Which may be deferred ------------------------------------------------------------------------------------------------


@allow_async
def allowed(request: HttpRequest) -> HttpResponse:
    return answer(request)


@never_async
def never(request: HttpRequest) -> HttpResponse:
    return answer(request)


def unmarked(request: HttpRequest) -> HttpResponse:
    return answer(request)


@allow_async
async def allowed_async(request: HttpRequest) -> HttpResponse:
    return answer(request)


class Unmarked(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(request)

    post = get


@allow_async
class AllowedClass(Unmarked):
    pass


@never_async
class NeverClass(AllowedClass):
    pass


class AllowedMethod(View):
    @allow_async
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(request)

    @never_async
    def post(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


@method_decorator(allow_async, name="dispatch")
class AllowedDispatch(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return answer(request)


class Never(APIView):
    async_exchange: ClassVar[Any] = False

    def get(self, request: Any) -> Response:
        ran.append(request.path)
        return Response()

    post = get


class Always(Never):
    async_exchange = True


class OnlyGet(Never):
    async_exchange: ClassVar[Any] = {"get"}


@allow_async
@api_view(["GET", "POST"])
@permission_classes([permissions.IsAuthenticated])
def allowed_function(request: Any) -> Response:
    ran.append(request.path)
    return Response()


class Sets(viewsets.ReadOnlyModelViewSet[Group]):
    """Lists and one extra action may be deferred; details may not."""

    queryset = Group.objects.order_by("id")
    serializer_class = GroupSerializer
    permission_classes = (permissions.IsAuthenticated,)
    async_exchange = frozenset({"list", "by_name"})

    @action(detail=False)
    def by_name(self, request: Any) -> Response:
        return Response([self.action])

    @action(detail=False)
    def by_hand(self, request: Any) -> Response:
        return Response([self.action])

    @action(detail=False)
    @allow_async
    def by_mark(self, request: Any) -> Response:
        return Response([self.action])


class Exceptional(Sets):
    """Everything may be deferred, but one action."""

    async_exchange: ClassVar[Any] = True

    @action(detail=False)
    @never_async
    def by_mark(self, request: Any) -> Response:
        return Response([self.action])


router = SimpleRouter()
router.register("sets", Sets, basename="set")
router.register("exceptional", Exceptional, basename="exceptional")

app_name = "doors"
urlpatterns = [
    path("closed/", Closed.as_view()),
    path("staff/", Staff.as_view()),
    path("reads-data/", ReadsData.as_view()),
    path("throttled/", Throttled.as_view()),
    path("only-json/", OnlyJson.as_view()),
    path("foreign/", Foreign.as_view()),
    path("members/", Members.as_view()),
    path("trusted/", Trusted.as_view()),
    path("tested/", Tested.as_view()),
    path("members-tested/", MembersTested.as_view()),
    path("tested-elsewhere/", TestedElsewhere.as_view()),
    path("async-members/", AsyncMembers.as_view()),
    path("prepared/<int:number>/", Prepared.as_view(colour="green")),
    path("login-required/", login_required(unmarked)),
    path("allowed/", allowed),
    path("never/", never),
    path("unmarked/", unmarked, name="unmarked"),
    path("unmarked/<int:number>/", lambda request, number: answer(request), name="numbered"),
    path("allowed-async/", allowed_async),
    path("allowed-class/", AllowedClass.as_view()),
    path("allowed-view/", allow_async(Unmarked.as_view())),
    path("never-class/", NeverClass.as_view()),
    path("allowed-method/", AllowedMethod.as_view()),
    path("allowed-dispatch/", AllowedDispatch.as_view()),
    path("rest-always/", Always.as_view()),
    path("rest-never/", Never.as_view()),
    path("rest-only-get/", OnlyGet.as_view()),
    path("rest-function/", allowed_function),
    *router.urls,
]
