"""What a user asks a rebuild for, on the command line."""

import pytest

from locatable.errors import UsageError
from locatable.flow.request import RebuildRequest, parse_params


@pytest.mark.parametrize(
    ("pair", "params"),
    [
        ("train.model=forest", {"train.model": "forest"}),
        ("train.lr=1e-5", {"train.lr": 1e-5}),
        ("train.sizes=[1, 2]", {"train.sizes": [1, 2]}),
        ("train.text=a=b", {"train.text": "a=b"}),
        ("conf/more.yaml:x=no", {"conf/more.yaml:x": "no"}),
    ],
)
def test_a_value_is_read_as_in_a_params_file(pair: str, params: dict[str, object]) -> None:
    assert parse_params([pair]) == params


def test_the_last_value_of_a_param_counts() -> None:
    assert parse_params(["x=1", "x=2"]) == {"x": 2}


def test_a_param_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^-S train\.x: write it as KEY=VALUE$"):
        parse_params(["train.y=1", "train.x"])


def test_all_of_the_last_commit_by_default() -> None:
    assert RebuildRequest() == RebuildRequest("HEAD", None, {}, 2, None)
