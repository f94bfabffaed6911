"""The project's own Celery tasks."""

from __future__ import annotations

from celery import shared_task
from django.contrib.auth.models import User

from .models import Note


@shared_task
def note(author: int, text: str) -> None:
    Note.objects.create(author=User.objects.get(pk=author), text=text)
