"""Webhooks and callbacks: subscriptions, the outbox, attempts, signatures, transport."""
