"""In which order, and by which process, tests run."""

import signal
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A shell has background jobs ignore Ctrl-C, and their children too: tests send it to some.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Modules whose tests share what takes long to make.
TOGETHER = (
    "test_commands.py",
    "test_flow.py",
    "test_locate.py",
    "test_machines.py",
    "test_mirror.py",
    "test_mirror_describe.py",
    "test_mirror_faults.py",
    "test_mirror_layouts.py",
    "test_ray.py",
    "test_searched.py",
    "test_setup.py",
    "test_tables.py",
    "test_updates.py",
)
# The longest, the longest first. They build environments of their own, and so do not wait for each other.
FIRST = (
    "test_updates.py",
    "test_demo.py",
    "test_flow.py",
    "test_ray.py",
    "test_docs.py",
    "test_tables.py",
    "test_against_dvc.py",
)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Tests go to whoever is free; but those of a module that share what takes long to make stay together."""
    # xdist's own groups do not reach its scheduler with pytest 9.
    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = scope
    return scheduler


def scope(test: str) -> str:
    """What goes to one process as a whole: a test, or a module."""
    module = test.split("::")[0]
    together = module.startswith("tests/unit/") or module.endswith(TOGETHER)
    return module if together else test


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long tests first: no processor waits for the last of them. The quick ones come last, to fill gaps.

    Those of every week are left to `make weekly`.
    """
    items.sort(key=rank)
    if config.option.markexpr != "weekly":
        weekly = [item for item in items if item.get_closest_marker("weekly")]
        config.hook.pytest_deselected(items=weekly)
        items[:] = [item for item in items if item not in weekly]


def rank(item: pytest.Item) -> tuple[bool, int, bool]:
    """The place of a test in the order."""
    place = FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST)
    is_unit = Path(item.path).parent.name == "unit"
    return item.get_closest_marker("long") is None, place, is_unit
