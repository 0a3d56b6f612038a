"""Rebuilds and searches as Prefect flows: schedules, retries, time-outs, and a page for each run.

Flows are `locatable.flow.flows.rebuild` and `locatable.flow.flows.search`; deployments name them like that.
"""

import os

# Prefect reads these when it is imported, and its server when it starts; what a user has set for that stays.
# `DO_NOT_TRACK` keeps the client from reporting its use, but not the server that it starts for a run.
os.environ["DO_NOT_TRACK"] = "1"
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
# That server keeps leases in its memory by default: nobody could take back what a killed run held.
os.environ.setdefault(
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", "prefect.server.concurrency.lease_storage.filesystem"
)
# On a busy machine it needs longer to start than the 20 seconds that Prefect gives it.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
