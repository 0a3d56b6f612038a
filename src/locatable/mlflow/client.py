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

__all__ = ["MlflowClient", "MlflowException", "entities", "validate_path_is_safe", "validation"]

logging.getLogger("alembic").setLevel(logging.WARNING)
# The errors that it logs, with a traceback, it raises as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
