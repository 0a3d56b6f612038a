"""In which order, and by which process, tests run."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("test_flow.py", "test_locate.py", "test_mirror.py", "test_ray.py")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Tests go to whoever is free; but those of a module that share what takes long to make stay together."""
    # xdist's own groups do not reach its scheduler with pytest 9.
    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = lambda test: (
        test.split("::")[0] if test.split("::")[0].endswith(TOGETHER) else test
    )
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: no processor waits for the last of them."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
