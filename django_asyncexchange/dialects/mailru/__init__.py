"""Target@Mail.Ru: the prefix ``/async_api`` makes a call asynchronous; requests, responses, callbacks."""

from __future__ import annotations

from .dialect import MailRu as MailRu
