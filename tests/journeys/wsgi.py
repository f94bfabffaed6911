"""What the web server serves."""

from __future__ import annotations

from django.core.wsgi import get_wsgi_application

from .celery import app  # noqa: F401  (what is sent from here goes through it)

application = get_wsgi_application()
