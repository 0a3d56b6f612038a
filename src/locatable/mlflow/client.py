"""MLflow's client, set up for a command; the only module that imports MLflow, which takes two seconds."""

import logging
import os

# Read when MLflow is imported: nothing is reported to anyone, and no server is waited for without end.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

from mlflow import MlflowClient, entities
from mlflow.exceptions import MlflowException
from mlflow.utils import validation
from mlflow.utils.uri import validate_path_is_safe

from ..addresses import redact_urls

__all__ = ["MlflowClient", "MlflowException", "entities", "reason", "validate_path_is_safe", "validation"]

logging.getLogger("alembic").setLevel(logging.WARNING)
# The errors that it logs, with a traceback, it raises as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

# Characters of what is shown of an error.
LONGEST_REASON = 400
FILE_STORE = (
    "MLflow no longer writes to folders of files: name a database, such as sqlite:///mlflow.db, into which "
    "`mlflow migrate-filestore` brings the runs of a folder, or set MLFLOW_ALLOW_FILE_STORE=true"
)


def reason(error: Exception) -> str:
    """Return what an error of MLflow, or of what it stores to, says, in whole sentences."""
    if "MLFLOW_ALLOW_FILE_STORE" in str(error):
        return FILE_STORE
    # A database's own words end where the statement and its values begin.
    said = redact_urls(" ".join(str(error).split()).partition(" [SQL: ")[0])
    if len(said) <= LONGEST_REASON:
        return said
    sentences = said[:LONGEST_REASON].rpartition(". ")[0]
    return f"{sentences}." if sentences else f"{said[:LONGEST_REASON]} …"
