"""Rebuilds and searches as Prefect flows: schedules, retries, time-outs, and a page for each run.

Flows are `locatable.flow.flows.rebuild` and `locatable.flow.flows.search`; deployments name them like that.
"""

import os

# Prefect reads its settings when it is imported, which no module before this one does.
# It would report its use to its makers otherwise.
os.environ["DO_NOT_TRACK"] = "1"
# The server that Prefect starts for a run, where there is none, keeps leases in its memory by default:
# nobody could take back what a killed run held.
os.environ.setdefault(
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect.server.concurrency.lease_storage.filesystem"
)
# That server needs longer to start on a busy machine than the 20 seconds that Prefect gives it.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
