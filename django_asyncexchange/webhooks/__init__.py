"""Webhooks and callbacks: subscriptions, outbox, delivery attempts, signatures, transport."""
