"""Identifies callers, and restores them in runs. The default hooks of the settings can be imported from here."""

from __future__ import annotations

from .callers import administers as administers
from .callers import owner_of as owner_of
from .tokens import IdentityLost as IdentityLost
from .tokens import restore_auth as restore_auth
from .tokens import snapshot_auth as snapshot_auth
