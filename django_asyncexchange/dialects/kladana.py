"""Kladana: MoySklad's protocol under another roof and in English (seed S002: nothing else differs)."""

from __future__ import annotations

from .moysklad.dialect import MoySklad, RemapPolicy


class Kladana(MoySklad):
    """MoySklad with another policy."""

    POLICY = RemapPolicy(language="en", web_app="https://app.kladana.in/app")
