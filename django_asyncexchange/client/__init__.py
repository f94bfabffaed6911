"""A client that hides the 202: a call returns its final response, however long that takes.

``client.httpx_transport`` and ``client.requests_adapter`` do the IO, ``client.exchange`` decides what is sent next,
``client.download`` how a broken download is continued, and ``client.exceptions`` are the failures. Nothing here imports
Django.
"""
