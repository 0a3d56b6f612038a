"""Runs in an MLflow store: created, completed and changed. Knows MLflow, and nothing of Git or DVC."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import known
from .client import MlflowClient, MlflowException, entities
from .content import Content, Dataset, Model, state_tags
from .limits import FittedContent, fit
from .rules import RULES
from .update import EXPERIMENT_TAGS, StoredRun, find_obstacle, plan_update

# MLflow's limits for one batch.
MOST_METRICS = 800
MOST_PARAMS = 100
MOST_TAGS = 100


class RunDeletedError(Exception):
    """Another mirror wrote this run too, and its run stays."""


class RefusedError(Exception):
    """MLflow does not take the content of a run."""


class RunWriter:
    """Writes runs of one MLflow experiment.

    Every method can be called again after it failed half-way. That a run is FINISHED is written last.

    Args:
        client: of the store.
        experiment_id: MLflow's.
    """

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id

    def create(self, content: Content, parent_id: str | None) -> str:
        """Create a run that claims its key, and holds nothing yet; returns its id."""
        tags = {**content.tags, **state_tags(content), known.STATE: known.WHEN_FINISHED}
        if parent_id:
            tags[known.PARENT] = parent_id
        with _refusals():
            run = self._client.create_run(self._experiment_id, content.start, tags, content.name)
        return str(run.info.run_id)

    def complete(self, run_id: str, content: Content) -> None:
        """Give a run that was just created all its content.

        Raises:
            RunDeletedError: another mirror deleted it meanwhile.
            RefusedError: MLflow does not take the content.
        """
        fitted = fit(content, RULES)
        with _refusals(), self._deletions(run_id):
            self._write(run_id, content, fitted, fitted.tags, None)

    def finish(self, run_id: str, content: Content, parent_id: str | None) -> str:
        """Complete a run that another mirror began, unless that one has done so; see `update`."""
        with self._deletions(run_id):
            run = self._client.get_run(run_id)
        if known.is_complete(run.data.tags, run.info.status):
            return run_id
        return self.update(run_id, content, parent_id)

    def update(self, run_id: str, content: Content, parent_id: str | None) -> str:
        """Bring an existing run up to date with its content.

        Params and metrics cannot be changed in MLflow, nor artifacts be taken away. Where that would be
        needed, the run is deleted and created again, unless files are missing here, whose values the run may
        have from another machine.

        Returns:
            The id of the run.

        Raises:
            RunDeletedError: another mirror deleted it meanwhile.
            RefusedError: MLflow does not take the content, or the run would have to be created again, and
                files are missing here.
        """
        fitted = fit(content, RULES)
        with _refusals(), self._deletions(run_id):
            run = self._client.get_run(run_id)
            obstacle = find_obstacle(_stored(run), content, fitted)
            if not obstacle:
                self._update_in_place(run, content, fitted)
                return run_id
            if content.missing:
                raise RefusedError(
                    f"MLflow cannot change {obstacle}; the run is created again where no file is missing "
                    "in the DVC cache"
                )
            self._client.delete_run(run_id)
        new_id = self.create(content, parent_id)
        self.complete(new_id, content)
        return new_id

    def rename(self, run_id: str, name: str, experiment_tags: dict[str, str]) -> None:
        """Give a run another name, and the tags of the experiment that it shows now."""
        self._client.update_run(run_id, name=name)
        tags = self._client.get_run(run_id).data.tags
        for key in EXPERIMENT_TAGS:
            if key in experiment_tags and tags.get(key) != experiment_tags[key]:
                self._client.set_tag(run_id, key, experiment_tags[key])
            elif key in tags and key not in experiment_tags:
                self._client.delete_tag(run_id, key)

    def move(self, run_id: str, parent_id: str) -> None:
        """Nest a run below another one."""
        self._client.set_tag(run_id, known.PARENT, parent_id)

    def delete(self, run_id: str) -> None:
        """Delete a run, as MLflow does: it can be restored there."""
        self._client.delete_run(run_id)

    def _update_in_place(self, run: entities.Run, content: Content, fitted: FittedContent) -> None:
        run_id = run.info.run_id
        update = plan_update(_stored(run), content, fitted)
        for key in update.first_deleted:
            self._client.delete_tag(run_id, key)
        if run.info.run_name != content.name:
            self._client.update_run(run_id, name=content.name)
        self._write(run_id, content, fitted, update.tags, run)
        for key in update.last_deleted:
            self._client.delete_tag(run_id, key)

    def _write(
        self,
        run_id: str,
        content: Content,
        fitted: FittedContent,
        tags: dict[str, str],
        run: entities.Run | None,
    ) -> None:
        """Write everything, the status last; `run` is what is there already, None if nothing is."""
        if fitted.artifacts:
            self._log_artifacts(run_id, fitted.artifacts)
        if fitted.datasets:
            self._log_datasets(run_id, fitted.datasets)
        for model in fitted.models:
            self._log_model(run_id, model, run)
        self._log_values(run_id, fitted, tags)
        self._client.set_terminated(run_id, known.FINISHED, content.end)
        if run and run.data.tags.get(known.STATE) == known.BEGUN:
            self._client.set_tag(run_id, known.STATE, known.COMPLETE)

    def _log_values(self, run_id: str, fitted: FittedContent, tags: dict[str, str]) -> None:
        """In as few batches as MLflow takes: each costs as much as everything that is in it."""
        params = [entities.Param(key, value) for key, value in fitted.params.items()]
        metrics = [entities.Metric(point.key, point.value, point.time, point.step) for point in fitted.points]
        run_tags = [entities.RunTag(key, value) for key, value in tags.items()]
        while params or metrics or run_tags:
            self._client.log_batch(run_id, metrics[:MOST_METRICS], params[:MOST_PARAMS], run_tags[:MOST_TAGS])
            params = params[MOST_PARAMS:]
            metrics = metrics[MOST_METRICS:]
            run_tags = run_tags[MOST_TAGS:]

    def _log_artifacts(self, run_id: str, artifacts: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for path, content in artifacts.items():
                file = Path(folder) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            self._client.log_artifacts(run_id, folder)

    def _log_datasets(self, run_id: str, datasets: Sequence[Dataset]) -> None:
        inputs = [dataset_input(dataset) for dataset in datasets]
        try:
            self._client.log_inputs(run_id, inputs)
        except MlflowException as error:
            # MLflow looks whether it has a dataset, then adds it: another mirror can come in between.
            if error.error_code != "BAD_REQUEST":
                raise
            self._client.log_inputs(run_id, inputs)

    def _log_model(self, run_id: str, model: Model, run: entities.Run | None) -> None:
        """An external logged model, without the empty MLmodel file, which would double what it costs."""
        logged = self._logged_models(run_id).get(model.path) if run else None
        if not logged:
            tags = {**model.tags, "mlflow.model.isExternal": "true"}
            created = self._client.create_logged_model(self._experiment_id, model.name, run_id, tags)
            logged = str(created.model_id)
        self._client.finalize_logged_model(logged, entities.LoggedModelStatus.READY)
        outputs = run.outputs.model_outputs if run and run.outputs else []
        if logged not in [output.model_id for output in outputs]:
            self._client.log_outputs(run_id, [entities.LoggedModelOutput(logged, 0)])

    def _logged_models(self, run_id: str) -> dict[str, str]:
        """Return id by path of the models that a run has."""
        models = self._client.search_logged_models([self._experiment_id], f"source_run_id = '{run_id}'")
        return {model.tags.get("dvc.path", ""): model.model_id for model in models}

    @contextmanager
    def _deletions(self, run_id: str) -> Iterator[None]:
        """Turn errors of MLflow into RunDeletedError where the run was deleted meanwhile."""
        try:
            yield
        except MlflowException:
            if self._client.get_run(run_id).info.lifecycle_stage == "deleted":
                raise RunDeletedError(run_id) from None
            raise


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn errors that are about one run's content into RefusedError."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise RefusedError(" ".join(str(error).split())) from None


def _stored(run: entities.Run) -> StoredRun:
    return StoredRun(tags=run.data.tags, params=run.data.params, metrics=run.data.metrics)


def dataset_input(dataset: Dataset) -> entities.DatasetInput:
    """Source data as MLflow takes it."""
    profile = {key: dataset.source[key] for key in ("size", "nfiles") if key in dataset.source}
    entity = entities.Dataset(
        dataset.name,
        dataset.digest,
        "external",
        json.dumps(dataset.source),
        profile=json.dumps(profile),
    )
    return entities.DatasetInput(entity, [entities.InputTag("mlflow.data.context", "source data")])
