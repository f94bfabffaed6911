"""MoySklad JSON API 1.2: asynchronous reports, the list of tasks with its filter, webhooks."""

from __future__ import annotations

from .dialect import MoySklad as MoySklad
