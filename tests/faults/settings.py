"""Settings of the faults' site: those of the journeys, and the fault's from the environment."""

from __future__ import annotations

import os

from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from tests.journeys import settings as journeys
from tests.journeys.settings import *  # noqa: F403

ROOT_URLCONF = "tests.faults.site"
SECRET_KEY = os.environ.get("FAULT_KEY") or journeys.SECRET_KEY
SECRET_KEY_FALLBACKS = [key for key in [os.environ.get("FAULT_OLD_KEY")] if key]

DATABASES = {"default": {**journeys.DATABASES["default"], "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}}
if "FAULT_BUSY_SECONDS" in os.environ:
    OPTIONS = {**DATABASES["default"]["OPTIONS"], "timeout": float(os.environ["FAULT_BUSY_SECONDS"])}
    DATABASES["default"]["OPTIONS"] = OPTIONS

Q_CLUSTER = {**journeys.Q_CLUSTER, "retry": int(os.environ.get("FAULT_RETRY") or journeys.Q_CLUSTER["retry"])}
if "FAULT_RETRY" in os.environ:
    Q_CLUSTER["timeout"] = Q_CLUSTER["retry"] - 1

MOUNT = {
    "PREFIX": "/async",
    "SHARE": int(os.environ.get("FAULT_SHARE") or 4),
    "RUN_LIMIT": float(os.environ.get("FAULT_RUN_LIMIT") or 300),
}
ASYNC_EXCHANGE = {
    **journeys.ASYNC_EXCHANGE,
    "DIALECTS": {"prefer": MOUNT},
    "WEBHOOK_ALLOWED_NETWORKS": ["127.0.0.0/8"],
    "WEBHOOK_PORTS": range(1, 65536),
    "WEBHOOK_REQUIRE_HTTPS": False,
}

if endpoint := os.environ.get("FAULT_S3"):
    OPTIONS = {
        "bucket_name": "results",
        "access_key": "anybody",
        "secret_key": "nothing",
        "region_name": "us-east-1",
        "endpoint_url": endpoint,
        "client_config": Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            connect_timeout=3,
            read_timeout=5,
            retries={"total_max_attempts": 1},
        ),
        "transfer_config": TransferConfig(use_threads=False),
    }
    STORAGES = {
        **journeys.STORAGES,
        "asyncexchange": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": OPTIONS},
    }
