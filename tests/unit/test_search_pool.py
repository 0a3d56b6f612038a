"""The pool and its workers, on a backend whose workers answer at once, in this process."""

import time
from dataclasses import dataclass, field

import optuna
import pytest
from optuna.trial import TrialState

from locatable.errors import GitError, ProjectError
from locatable.results.processor import Processor
from locatable.search.git_trials import FoundExperiments
from locatable.search.messages import Complete, Failed, Job, Progress, Pruned, Ready, Stop, Unusable
from locatable.search.run import CEASED_TO_WORK, NEVER_WORKED, Pool
from locatable.search.settings import SearchSettings
from locatable.search.study import SearchStudy

USUAL = {
    "study": "small",
    "metric": "m.json:loss",
    "direction": "minimize",
    "sampler": {"name": "RandomSampler", "seed": 1},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}


def find_nothing(known):
    """A repository without experiments."""
    return FoundExperiments(frozenset())


@dataclass(eq=False, kw_only=True)
class FakeWorker:
    """Answers each message as `answer` says."""

    answer: object
    receive: object
    sent: list = field(default_factory=list)
    is_clean: bool = False

    def send(self, message):
        """Answer at once."""
        self.sent.append(message)
        for reply in self.answer(message):
            self.receive(self, reply)

    def clean_up(self):
        """Note that it was asked for."""
        self.is_clean = True


class FakeBackend:
    """Starts workers that take jobs at once, unless `first` says something else."""

    clones = "nowhere"

    def __init__(self, answer, capacity=1, first=lambda number: [Ready()]):
        self.answer, self.first, self.workers = answer, first, []
        self.is_shut_down, self._capacity = False, capacity

    def capacity(self):
        """As it was made with."""
        return self._capacity

    def start_worker(self, receive):
        """Start one that speaks first."""
        worker = FakeWorker(answer=self.answer, receive=receive)
        self.workers.append(worker)
        for message in self.first(len(self.workers) - 1):
            receive(worker, message)
        return worker

    def shut_down(self):
        """Note that it was asked for."""
        self.is_shut_down = True


class Recorder:
    """Keeps what a person would see."""

    def __init__(self):
        self.finished, self.failures, self.notices = [], [], []

    def progress(self, finished, best):
        """Keep it."""
        self.finished.append(finished)

    def trial_failed(self, experiment, failed):
        """Keep it."""
        self.failures.append((experiment, failed.error, failed.log))

    def notice(self, text):
        """Keep it."""
        self.notices.append(text)


def new_study(**changes):
    settings = SearchSettings.model_validate({**USUAL, **changes})
    in_memory = optuna.create_study(directions=settings.directions)
    study = SearchStudy(in_memory, settings, {}, find_nothing, "me")
    study.configure()
    return study


def search(backend, wanted=3, study=None, deadline=float("inf")):
    """Run a pool to its end, and return the study and what was shown."""
    study = study or new_study()
    recorder = Recorder()
    Pool(study, backend, recorder).run(wanted, deadline)
    return study, recorder


def completes(message):
    return [Complete("a" * 40, [0.5])] if isinstance(message, Job) else []


def fails(message):
    return [Failed("stage train", "x does not work")] if isinstance(message, Job) else []


def dies(message):
    return [None] if isinstance(message, Job) else []


def test_as_many_trials_complete_as_are_wanted():
    study, _ = search(FakeBackend(completes))
    assert study.count() == {TrialState.COMPLETE: 3}


def test_earlier_trials_count():
    study, _ = search(FakeBackend(completes), wanted=2)
    search(FakeBackend(completes), wanted=3, study=study)
    assert study.count() == {TrialState.COMPLETE: 3}


def test_no_more_workers_start_than_the_backend_has_room_for():
    backend = FakeBackend(completes, capacity=2)
    search(backend, wanted=5)
    assert len(backend.workers) == 2


def test_no_more_workers_start_than_there_are_trials():
    backend = FakeBackend(completes, capacity=8)
    search(backend, wanted=2)
    assert len(backend.workers) == 2


def test_the_backend_is_shut_down_at_the_end():
    backend = FakeBackend(completes)
    search(backend)
    assert backend.is_shut_down


def test_the_progress_is_shown():
    _, recorder = search(FakeBackend(completes))
    assert recorder.finished == [0, 1, 2, 3]


def test_no_trial_begins_after_the_deadline():
    study, _ = search(FakeBackend(completes), deadline=time.monotonic() - 1)
    assert study.count() == {}


def test_a_trial_that_does_worse_is_stopped():
    def answer(message):
        return [Progress(0, 9.0), Progress(1, 9.0)] if isinstance(message, Job) else [Pruned()]

    backend = FakeBackend(answer)
    pruner = {"name": "ThresholdPruner", "upper": 1.0}
    study, _ = search(backend, wanted=1, study=new_study(pruner=pruner, series="loss.tsv"))
    assert study.count() == {TrialState.PRUNED: 1}
    assert backend.workers[0].sent[1:] == [Stop()]


def test_a_failed_trial_is_reported_and_does_not_count():
    outcomes = iter([fails, completes])
    study, recorder = search(FakeBackend(lambda message: next(outcomes)(message)), wanted=1)
    assert study.count() == {TrialState.FAIL: 1, TrialState.COMPLETE: 1}
    assert recorder.failures == [("small-0", "stage train", "x does not work")]


def test_a_search_in_which_nothing_ever_works_ends():
    study = new_study()
    backend = FakeBackend(fails)
    with pytest.raises(ProjectError, match=f"{NEVER_WORKED} trials failed one after another"):
        search(backend, study=study)
    assert study.count() == {TrialState.FAIL: NEVER_WORKED}
    assert backend.is_shut_down


def test_a_search_in_which_nothing_works_any_more_ends_later():
    study, _ = search(FakeBackend(completes), wanted=1)
    with pytest.raises(ProjectError, match=f"{CEASED_TO_WORK} trials failed one after another"):
        search(FakeBackend(fails), study=study)


def test_a_full_disk_ends_a_search_at_once():
    def answer(message):
        return [Failed("no space left on device", "")]

    study = new_study()
    with pytest.raises(ProjectError, match=r"the disk is full \(clones are in nowhere\)"):
        search(FakeBackend(answer), study=study)
    assert study.count() == {TrialState.FAIL: 1}


def test_the_params_of_a_trial_whose_worker_died_are_run_again():
    outcomes = iter([dies, completes])
    backend = FakeBackend(lambda message: next(outcomes)(message))
    study, recorder = search(backend, wanted=1)
    lost, done = study.optuna.trials
    assert (lost.state, done.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert lost.params == done.params
    assert recorder.notices == ["small-0: its worker died; its params are run again"]
    assert backend.workers[0].is_clean


def test_a_trial_that_kills_its_workers_is_given_up():
    grid = {"name": "GridSampler", "search_space": {"x": [0.5]}}
    study, recorder = search(FakeBackend(dies), wanted=5, study=new_study(sampler=grid))
    assert study.count() == {TrialState.FAIL: 3}
    assert recorder.failures == [("small-2", "its worker died", "")]


def test_workers_that_die_before_they_are_ready_end_a_search():
    backend = FakeBackend(completes, first=lambda number: [None])
    with pytest.raises(ProjectError, match="failed one after another"):
        search(backend)


def test_a_search_does_without_a_worker_that_cannot_begin():
    backend = FakeBackend(
        completes, capacity=2, first=lambda number: [Ready() if number else Unusable("no Git")]
    )
    study, recorder = search(backend)
    assert study.count() == {TrialState.COMPLETE: 3}
    assert recorder.notices == ["a worker cannot start and is left out: no Git"]


def test_a_search_ends_where_no_worker_can_begin():
    backend = FakeBackend(completes, first=lambda number: [Unusable("no Git")])
    with pytest.raises(ProjectError, match="a worker cannot start: no Git"):
        search(backend)


def interrupted(at_once):
    """A study that was interrupted while its first trial ran, and what was sent to the worker."""
    study = new_study()

    def answer(message):
        pool.interrupt(at_once=at_once)
        return [] if at_once else completes(message)

    backend = FakeBackend(answer)
    pool = Pool(study, backend, Recorder())
    pool.run(5, float("inf"))
    return study, backend


def test_a_first_interrupt_lets_the_running_trial_finish():
    study, _ = interrupted(at_once=False)
    assert study.count() == {TrialState.COMPLETE: 1}


def test_an_interrupt_at_once_waits_for_nothing():
    study, backend = interrupted(at_once=True)
    assert study.count() == {TrialState.RUNNING: 1}
    assert backend.is_shut_down


XEON = Processor("Xeon", 4)


def computes(message):
    return [Complete("a" * 40, [0.5], XEON)] if isinstance(message, Job) else []


def recorded(answer, record):
    """Run a pool of one trial that records processors; return what was shown."""
    recorder = Recorder()
    Pool(new_study(), FakeBackend(answer), recorder, record).run(1, float("inf"))
    return recorder


def test_the_processor_of_an_experiment_is_recorded():
    noted = []
    recorded(computes, lambda rev, processor: noted.append((rev, processor)))
    assert noted == [("a" * 40, XEON)]


def test_no_processor_is_recorded_of_an_experiment_that_was_computed_elsewhere():
    noted = []
    recorded(completes, lambda rev, processor: noted.append(rev))
    assert noted == []


def test_a_processor_that_cannot_be_recorded_is_said_and_the_trial_counts():
    def refuse(rev, processor):
        raise GitError("git notes: locked")

    shown = recorded(computes, refuse)
    (notice,) = shown.notices
    assert notice.endswith("its processor could not be recorded: git notes: locked")
    assert shown.finished[-1] == 1
