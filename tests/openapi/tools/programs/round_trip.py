"""Submit, wait, result and cancel with the client that openapi-python-client has generated into ``generated``."""

from __future__ import annotations

import sys
import time

from generated.api.asynchronous_calls_prefer import prefer_cancel, prefer_result, prefer_status
from generated.api.moysklad import moysklad_report_dashboard_retrieve as dashboard
from generated.client import AuthenticatedClient
from generated.models import Dashboard, MoyskladReportDashboardRetrievePeriod, PreferError, PreferTask

DAY = MoyskladReportDashboardRetrievePeriod.DAY


def submitted(client: AuthenticatedClient) -> PreferTask:
    accepted = dashboard.sync_detailed(DAY, client=client, prefer="respond-async")
    assert accepted.status_code == 202
    assert isinstance(accepted.parsed, PreferTask)
    return accepted.parsed


def main(base: str) -> None:
    client = AuthenticatedClient(base_url=base, token="token-anna")
    at_once = dashboard.sync(DAY, client=client)
    assert isinstance(at_once, Dashboard)
    task = submitted(client)
    while (status := prefer_status.sync_detailed(task.id, client=client)).status_code == 202:
        assert isinstance(status.parsed, PreferTask)
        time.sleep(float(status.headers.get("Retry-After", 1)))
    assert status.status_code == 303
    result = prefer_result.sync_detailed(task.id, client=client)
    assert result.status_code == 200
    assert result.content == dashboard.sync_detailed(DAY, client=client).content
    unwanted = submitted(client)
    assert prefer_cancel.sync_detailed(unwanted.id, client=client).status_code == 204
    gone = prefer_result.sync_detailed(unwanted.id, client=client)
    assert (gone.status_code, type(gone.parsed)) == (410, PreferError)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1])
