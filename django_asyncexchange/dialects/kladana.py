"""Kladana JSON API 1.2: MoySklad's protocol with English messages and another web application."""

from __future__ import annotations

from .moysklad.dialect import MoySklad, RemapPolicy


class Kladana(MoySklad):
    """The MoySklad dialect with another policy."""

    POLICY = RemapPolicy(language="en", web_app="https://app.kladana.in/app")
