"""Each app's URLs as its documentation mounts them."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import DefaultRouter
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView

from .notes import views

router = DefaultRouter()
router.register("notes", views.Notes)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
    path("silk/", include("silk.urls", namespace="silk")),
    path("__debug__/", include("debug_toolbar.urls")),
    path("", include("django_prometheus.urls")),
    path("api/token/", TokenObtainPairView.as_view()),
    path("api/token/blacklist/", TokenBlacklistView.as_view()),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/whoami/", views.Whoami.as_view()),
    path("api/password/", views.ByPassword.as_view()),
    path("api/scoped/", views.Scoped.as_view()),
    path("api/open/", views.Open.as_view()),
    path("api/", include(router.urls)),
    path("v1/chat/completions", views.ChatCompletions.as_view()),
    path("ninja/", views.ninja.urls),
    path("whoami/", views.whoami),
    path("page/", views.page),
    path("write/", views.write),
    path("keep-file/", views.keep_file),
    path("note-later/", views.note_later),
    path("broken/", views.broken),
    path("profiled/", views.profiled),
    path("login-by-hand/", views.login_by_hand),
    path("my-notes/", views.my_notes),
    path("guarded/<int:pk>/", views.guarded_note),
    path("ruled/<int:pk>/", views.ruled_note),
    path("verified-email/", views.with_verified_email),
    path("recent-login/", views.with_recent_login),
    path("second-factor/", views.with_second_factor),
    path("protected/", views.protected),
    path("protected-class/", views.Protected.as_view()),
    path("", include("django_asyncexchange.urls")),
]
