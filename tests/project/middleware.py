"""Middlewares as careless projects have them."""

from __future__ import annotations


class Curious:
    """Looks at everything before anybody else does."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        self.seen = dict(request.GET), dict(request.POST)
        return self.get_response(request)
