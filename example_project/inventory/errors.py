"""Error responses in MoySklad's format and the caller's language."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_framework_handler

from .mounts import language_of, namespace_of

OTHER = 1000
TEXTS = {
    1002: ("Неизвестный адрес: {path}", "Unknown address: {path}"),
    1016: (
        "Доступ запрещен: у вас нет прав на просмотр данного объекта",
        "Access Denied: You do not have permission to view this object",
    ),
    1021: ("Объект не найден", "Object not found"),
    1035: ("Ошибка формата: неправильная дата в параметре {parameter}", "Format error: invalid date in {parameter}"),
    1039: ("Метод {method} не поддерживается", "Method {method} is not supported"),
    1056: ("Ошибка аутентификации: требуется верный токен доступа", "Authentication error: a valid token is required"),
    1084: (
        "Ошибка: недопустимое значение параметра {parameter}, допустимы: {allowed}",
        "Error: the value of {parameter} is not allowed; allowed are: {allowed}",
    ),
    39000: (
        "Ошибка: не указан обязательный параметр для запроса показателей: {parameter}.",
        "Error: a required parameter of the report is missing: {parameter}.",
    ),
}
"""Code → (Russian text, English text)."""

CODES: dict[type[Exception], int] = {
    exceptions.NotAuthenticated: 1056,
    exceptions.AuthenticationFailed: 1056,
    exceptions.PermissionDenied: 1016,
    DjangoPermissionDenied: 1016,
    exceptions.NotFound: 1021,
    Http404: 1021,
    exceptions.MethodNotAllowed: 1039,
}
"""Exception class of Django or DRF → code."""


class RemapError(exceptions.APIException):
    """An error with one of MoySklad's codes."""

    status_code = 412

    def __init__(self, code: int, *, status: int = 412, **details: str) -> None:
        super().__init__()
        self.code = code
        self.status_code = status
        self.details = details


def text_of(code: int, language: str, **details: Any) -> str:
    """The text of an error in ``language``."""
    return TEXTS[code][language == "en"].format(**details)


def error_of(error: Exception, request: HttpRequest, detail: Any) -> dict[str, Any]:
    """One element of ``errors``. ``detail``, DRF's message, is used for exceptions without a code."""
    language = language_of(request)
    if isinstance(error, RemapError):
        return {"error": text_of(error.code, language, **error.details), "code": error.code}
    code = next((CODES[cls] for cls in type(error).__mro__ if cls in CODES), OTHER)
    text = plain(detail) if code == OTHER else text_of(code, language, method=request.method)
    return {"error": text, "code": code}


def plain(detail: Any) -> str:
    """Flatten DRF's error details into one line."""
    if isinstance(detail, dict):
        return "; ".join(plain(part) if key == "detail" else f"{key}: {plain(part)}" for key, part in detail.items())
    return " ".join(map(plain, detail)) if isinstance(detail, list) else str(detail)


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF exception handler: MoySklad's format below its mounts, DRF's elsewhere."""
    response = rest_framework_handler(error, context)
    request = context["request"]
    if response is not None and namespace_of(request):
        response.data = {"errors": [error_of(error, request, response.data)]}
    return response


def not_found(request: HttpRequest) -> HttpResponseBase:
    """View of the 404 for an unknown URL below one of the mounts."""
    text = text_of(1002, language_of(request), path=request.path)
    response: HttpResponse = JsonResponse({"errors": [{"error": text, "code": 1002}]}, status=404)
    return response
