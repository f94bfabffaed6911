"""The project with django-storages: its own files and our bodies in buckets."""

from __future__ import annotations

import os

from boto3.s3.transfer import TransferConfig

from .settings import *  # noqa: F403
from .settings import STORAGES

S3 = {
    "access_key": "anybody",
    "secret_key": "nothing",
    "region_name": "us-east-1",
    "endpoint_url": os.environ.get("INTEROP_S3", ""),
}
STORAGES = {
    **STORAGES,
    "default": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**S3, "bucket_name": "files"}},
    "asyncexchange": {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {**S3, "bucket_name": "results", "transfer_config": TransferConfig(use_threads=False)},
    },
}
