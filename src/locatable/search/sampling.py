"""The sampler and the pruner that search.yaml names: built, and tried before a search begins."""

import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from threading import Event
from types import ModuleType
from typing import Any

import optuna
from optuna.trial import Trial

from ..errors import SettingsError
from ..model import Key
from .settings import SearchSettings, active_values

NO_PRUNER = {"name": "NopPruner"}
# These draw a point by its number, or count in the study which are left: another seed is another order.
SEED_MUST_STAY = (optuna.samplers.GridSampler, optuna.samplers.QMCSampler)
# Most samplers draw at random until so many trials are there.
STARTUP_TRIALS = 10
# Prefix of the path of a class in OptunaHub's registry: `optunahub:PACKAGE/Class`.
HUB = "optunahub:"
# Steps of the series of a trial in the dry run.
STEPS = 5


def configure(study: optuna.Study, settings: SearchSettings) -> None:
    """Give a study, with all trials that there are, the sampler and pruner of search.yaml."""
    done = len(study.get_trials(deepcopy=False))
    study.sampler = build("sampler", settings.sampler, optuna.samplers, done)
    study.pruner = build("pruner", settings.pruner or NO_PRUNER, optuna.pruners, done)


def build(section: str, spec: Mapping[str, Any], module: ModuleType, done: int = 0) -> Any:
    """Build a sampler or pruner from `{name: ..., argument: ...}`; an argument may be such a mapping itself.

    Args:
        section: where in search.yaml it stands.
        spec: arguments, and `name`: a class of `module`, the import path of any class, or, of OptunaHub's
            registry, `optunahub:PACKAGE/Class`.
        module: optuna.samplers or optuna.pruners.
        done: trials there are already: a seed counts on from them, or the same would be drawn again.

    Raises:
        SettingsError: there is no such class, or it does not take these arguments.
    """
    arguments = {key: value for key, value in spec.items() if key != "name"}
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "name" in value:
            arguments[key] = build(f"{section}.{key}", value, module, done)
    path = str(spec.get("name"))
    kind = _class(section, path, module)
    if isinstance(arguments.get("seed"), int) and kind not in SEED_MUST_STAY:
        arguments["seed"] += done
    with _as_settings_error(section, path.rpartition(".")[2]), warnings.catch_warnings(action="ignore"):
        return kind(**arguments)


def _class(section: str, path: str, module: ModuleType) -> Any:
    if path.startswith(HUB):
        return _class_of_hub(section, path)
    package, _, name = path.rpartition(".")
    with _as_settings_error(section, path):
        found = import_module(package) if package else module
    if not hasattr(found, name):
        raise SettingsError(f"search.yaml: {section}: no {name!r} in {found.__name__}")
    return getattr(found, name)


def _class_of_hub(section: str, path: str) -> Any:
    package, _, name = path.removeprefix(HUB).rpartition("/")
    if not package:
        raise SettingsError(f"search.yaml: {section}: {path}: write it as {HUB}PACKAGE/Class")
    try:
        import optunahub
    except ImportError:
        raise SettingsError(
            f"search.yaml: {section}: {path}: OptunaHub is missing: pip install optunahub"
        ) from None
    # It may have to be downloaded, and import what is not installed.
    with _as_settings_error(section, f"{HUB}{package}"):
        module = optunahub.load_module(package)
    if not hasattr(module, name):
        raise SettingsError(f"search.yaml: {section}: no {name!r} in {HUB}{package}")
    return getattr(module, name)


def watch_for_stop(study: optuna.Study) -> Event:
    """Return an event that is set when a sampler has nothing left to try, and so stops the study.

    Optuna itself allows samplers to stop a study within `optimize` only.
    """
    has_ended = Event()
    study.stop = has_ended.set  # type: ignore[method-assign]
    return has_ended


def propose(settings: SearchSettings, params_files: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Return the params that a trial is to have, by key; those without an effect are left out.

    Args:
        settings: search.yaml.
        params_files: content of each params file at the baseline, by path.
        trial: what Optuna's sampler chooses for.
    """

    def choose(key: str) -> Any:
        return settings.space[key].suggest(trial, key)

    def read_fixed(key: str) -> Any:
        place = Key.parse(key)
        return place.value_in(params_files[place.file])

    return active_values(settings.space, choose, read_fixed)


def dry_run(settings: SearchSettings, params_files: Mapping[str, Any]) -> None:
    """Run the sampler and the pruner on a study in memory, with random values.

    Args:
        settings: search.yaml.
        params_files: content of each params file, by path.

    Raises:
        SettingsError: one of them does not work with this space; the message says why.
    """
    rounds = STARTUP_TRIALS + 2
    startup = settings.sampler.get("n_startup_trials")
    if isinstance(startup, int):
        # Two more, so that the sampler itself has to choose.
        rounds = max(rounds, startup + 2)
    values = random.Random(0)  # noqa: S311 (not for secrets)
    with _quiet():
        study = optuna.create_study(directions=settings.directions)
        configure(study, settings)
        has_ended = watch_for_stop(study)
        for _ in range(rounds):
            _dry_trial(study, settings, params_files, values)
            if has_ended.is_set():
                break


def _dry_trial(
    study: optuna.Study, settings: SearchSettings, params_files: Mapping[str, Any], values: random.Random
) -> None:
    sampler = str(settings.sampler["name"])
    with _as_settings_error("sampler", sampler):
        trial = study.ask()
        propose(settings, params_files, trial)
    if settings.pruner:
        with _as_settings_error("pruner", str(settings.pruner["name"])):
            for step in range(STEPS):
                trial.report(values.random(), step)
                trial.should_prune()
    with _as_settings_error("sampler", sampler):
        study.tell(trial, [values.random() for _ in settings.metrics])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log and warnings."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def _as_settings_error(section: str, name: str) -> Iterator[None]:
    """Turn whatever a sampler or pruner raises into one line: any class can be named in search.yaml."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"search.yaml: {section}: {name}: {reason}") from None
