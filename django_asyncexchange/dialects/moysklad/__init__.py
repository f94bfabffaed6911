"""MoySklad: ``?async=true``, the list of tasks with its filter, webhooks."""

from __future__ import annotations

from .dialect import MoySklad as MoySklad
