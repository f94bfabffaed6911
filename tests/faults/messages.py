"""``python -m tests.faults.messages``: how many messages are in django-q2's queue, taken by a cluster or not."""

from __future__ import annotations

import django

if __name__ == "__main__":
    django.setup()

    from django_q.brokers import get_broker

    broker = get_broker()
    print(broker.queue_size() + (broker.lock_size() or 0))
