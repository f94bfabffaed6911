"""Pages for people: the templates of ``asyncexchange/``, the project's own ones first."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist, engines, loader
from django.template.backends.django import DjangoTemplates
from django.utils import translation
from django.utils.cache import patch_vary_headers

from ..dialects.base import NO_STORE, Dialect
from ..protocol.values import Html, Response
from . import http, render_context

TEMPLATES = Path(__file__).parent.parent / "templates"


def respond(page: Html, request: HttpRequest, dialect: Dialect) -> HttpResponse:
    """``page`` in the client's language. It has no ETag: a form's CSRF token is another one each time.

    ``address`` is the page's own, with its query: a script may write the page into a document with another one.
    """
    with translation.override(render_context.reader_language(request, dialect)):
        text = _template(page.template).render({**page.context, "address": request.get_full_path()}, request)
    response = HttpResponse(text, content_type="text/html; charset=utf-8", headers=dict(NO_STORE))
    patch_vary_headers(response, ("Accept",))
    return response


def back_to(path: str) -> HttpResponse:
    """The response to a form: 303 to the page at ``path``."""
    return http.respond(Response(status=303, headers=(("Location", path), *NO_STORE, ("Vary", "Accept"))))


def _template(name: str) -> Any:
    """The template as the project's engines find it, or else our own: an engine need not search apps."""
    try:
        return loader.get_template(name)
    except TemplateDoesNotExist:
        return _engine(tuple(place for engine in engines.all() for place in engine.dirs)).get_template(name)


@functools.lru_cache(maxsize=8)
def _engine(places: tuple[Any, ...]) -> DjangoTemplates:
    """Finds our templates, and those of ``places`` before them."""
    return DjangoTemplates({"NAME": "asyncexchange", "DIRS": [*places, TEMPLATES], "APP_DIRS": False, "OPTIONS": {}})
