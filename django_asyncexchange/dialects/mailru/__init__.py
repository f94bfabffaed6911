"""Target@Mail.Ru: the prefix ``/async_api``, requests and responses, callbacks."""

from __future__ import annotations

from .dialect import MailRu as MailRu
