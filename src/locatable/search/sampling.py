"""The sampler and the pruner that search.yaml names: built, and tried before a search begins."""

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import optuna
from optuna.trial import Trial

from ..errors import SettingsError
from .settings import Search, lookup

NONE = {"name": "NopPruner"}
# They draw a point by its number, or count in the study which are left: another seed is another order.
COUNT = (optuna.samplers.GridSampler, optuna.samplers.QMCSampler)
# Most samplers draw at random until so many trials are there.
STARTUP = 10
# Of a series that is made up.
STEPS = 5


def equip(study: optuna.Study, search: Search) -> None:
    """Give a study, with all trials that there are, the sampler and pruner of search.yaml."""
    done = len(study.get_trials(deepcopy=False))
    study.sampler = build("sampler", search.sampler, optuna.samplers, done)
    study.pruner = build("pruner", search.pruner or NONE, optuna.pruners, done)


def build(what: str, spec: Mapping[str, Any], module: ModuleType, done: int = 0) -> Any:
    """A sampler or pruner from `{name: ..., argument: ...}`; an argument may be such a mapping itself.

    Args:
        what: where in search.yaml it stands.
        spec: `name`, a class of `module` or the import path of any class, and its arguments.
        module: optuna.samplers or optuna.pruners.
        done: trials there are already: a seed counts on from them, or the same would be drawn again.

    Raises:
        SettingsError: there is no such class, or it does not take these arguments.
    """
    arguments = {key: value for key, value in spec.items() if key != "name"}
    for key, value in arguments.items():
        if isinstance(value, Mapping) and "name" in value:
            arguments[key] = build(f"{what}.{key}", value, module, done)
    package, _, name = str(spec.get("name")).rpartition(".")
    try:
        kind = getattr(import_module(package) if package else module, name)
    except (ImportError, AttributeError):
        raise SettingsError(f"search.yaml: {what}: no {name!r} in {package or module.__name__}") from None
    if isinstance(arguments.get("seed"), int) and kind not in COUNT:
        arguments["seed"] += done
    with _one_line(what, name), warnings.catch_warnings(action="ignore"):
        return kind(**arguments)


def rehearse(search: Search, files: Mapping[str, Any]) -> None:
    """Let the sampler and the pruner work on a study in memory with made-up values, before it counts.

    Args:
        search: search.yaml.
        files: content of each params file, by path.

    Raises:
        SettingsError: one of them does not work with this space; the message says why.
    """
    study = optuna.create_study(directions=search.directions)
    equip(study, search)
    ended: list[bool] = []
    study.stop = lambda: ended.append(True)
    startup = search.sampler.get("n_startup_trials")
    rounds = max(STARTUP, startup if isinstance(startup, int) else 0)
    verbosity, values = optuna.logging.get_verbosity(), random.Random(0)  # noqa: S311
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        for _ in range(rounds + 2):
            with _one_line("sampler", search.sampler["name"]):
                trial = study.ask()
                propose(search, files, trial)
            if search.pruner:
                with _one_line("pruner", search.pruner["name"]):
                    for step in range(STEPS):
                        trial.report(values.random(), step)
                        trial.should_prune()
            with _one_line("sampler", search.sampler["name"]):
                study.tell(trial, [values.random() for _ in search.metrics])
            if ended:
                break
    optuna.logging.set_verbosity(verbosity)


def propose(search: Search, files: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Value of each param that a trial is to have, by key; those without an effect are left out."""
    choose: Callable[[str], Any] = lambda key: search.space[key].suggest(trial, key)  # noqa: E731
    return dict(search.active(choose, base=lambda key: lookup(files, key)))


@contextmanager
def _one_line(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Anyone's class can be named there, and fail in its own way.
        said = " ".join(str(error).split()) or type(error).__name__
        raise SettingsError(f"search.yaml: {what}: {name}: {said}") from None
