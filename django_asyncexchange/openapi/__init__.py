"""OpenAPI: the task addresses of all mounts, and what calls of asynchronous views gain by them.

``openapi.spectacular`` adds both to a document of drf-spectacular; ``openapi.document`` is a document of the task
addresses alone. Nothing is described twice: statuses, headers and documents are those that the dialects render for the
tasks and errors of ``openapi.samples``.
"""
