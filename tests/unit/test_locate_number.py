"""Numbers as texts quote them, and the results that they are of."""

import json
from pathlib import Path

import pytest
import tiny_git
from tiny_git import commit, git, write

from locatable.errors import NotFoundError
from locatable.locate import Located, locate, render
from locatable.locate.by_value import parse_quoted
from locatable.repository.reader import Reader

METRICS = {"valid": {"log_loss": 0.13304, "accuracy": 0.947}, "n": 1234, "delta": -0.25}
PIPELINE = """\
stages:
  train:
    cmd: python train.py
    params: [lr]
    outs:
    - extra.json: {cache: false}
    metrics:
    - metrics.json: {cache: false}
"""


def lock(lr: object = 0.001) -> str:
    return (
        "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n    params:\n      params.yaml:\n"
        f"        lr: {lr}\n    outs:\n    - path: extra.json\n      md5: {'1' * 32}\n"
        f"    - path: metrics.json\n      md5: {'2' * 32}\n"
    )


def files(lr: object = 0.001, **metrics: object) -> dict[str, str]:
    return {
        ".dvc/config": "",
        "dvc.yaml": PIPELINE,
        "dvc.lock": lock(lr),
        "params.yaml": f"lr: {lr}\n",
        "metrics.json": json.dumps({**METRICS, **metrics}),
        "extra.json": json.dumps({"rows": 569}),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    commit(tmp_path / "project", files())
    return tmp_path / "project"


def experiment(project: Path, name: str, lr: object = 0.001, **metrics: object) -> str:
    return tiny_git.experiment(project, files(lr, **metrics), name)


def roles(located: Located) -> list[dict[str, str]]:
    return [{key: str(role) for key, role in result.roles.items()} for result in located.results]


def prints_so(text: str, value: object) -> bool:
    quoted = parse_quoted(text)
    assert quoted is not None
    return quoted.is_printed(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.133", 0.13304),
        ("0.133", 0.1330),
        (".133", 0.133),
        ("0.130", 0.1299),
        ("0.13", 0.1299),
        ("-0.25", -0.25),
        ("−0.25", -0.25),
        ("–0.25", -0.25),
        ("+0.25", 0.25),
        ("94.7%", 0.947),
        ("94.7 %", 0.9469),
        (r"94.7\%", 0.947),
        ("94.7%", 94.68),
        ("95%", 0.947),
        ("1,234", 1234),
        ("1,234,567.8", 1234567.84),
        ("1 234", 1234),
        ("1\u2009234", 1234),
        ("1\u202f234", 1234),
        ("1'234", 1234),
        ("1_234", 1234),
        ("0,133", 0.133),
        ("1.234,5", 1234.5),
        ("42", 42),
        ("42", 41.6),
        ("42.", 42.0),
        ("1e-05", 1e-5),
        ("1.3e-5", 0.0000134),
        ("1.3E−5", 0.0000134),
        ("1.3×10⁻⁵", 0.0000134),
        ("1.3 × 10^-5", 0.0000134),
        (r"$1.3\times 10^{-5}$", 0.0000134),
        ("1.2e3", 1234),
        ("0.00001", 1e-5),
        ("-0.000", 0.0),
        ("100000000000000000000", 10**20),
        ("12345678901234567", 12345678901234567),
        ("9223372036854775807", 2**63 - 1),
        ("12345678901234567890123", 12345678901234567890123),
        ("-12345678901234567", -12345678901234567),
        ("1.23e16", 12345678901234567),
        ("0.75", "0.75"),
        ("0.8", " 7.5e-01"),
        ("12345678901234567", "12345678901234567"),
        ("0.132", 0.1325),  # half to even
        ("0.133", 0.1325),  # half up
        ("2.67", 2.675),  # Python's own, of the binary number
        ("2.68", 2.675),
        ("-0.133", -0.1325),
    ],
)
def test_a_value_that_prints_so(text: str, value: float) -> None:
    assert prints_so(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.130", 0.1307),
        ("0.133", 0.1336),
        ("0.25", -0.25),
        ("94.7%", 0.9476),
        ("1234", 1.234),
        ("1", True),
        ("1", "one"),
        ("1", "True"),
        ("1", ""),
        ("1", None),
        ("12345678901234567", 12345678901234568),
        ("12345678901234568", 12345678901234567),
        ("12345678901234567", 1.2345678901234567e16),
        ("0.75", "nan"),
        ("0.75", "0.76"),
        ("0.133", float("nan")),
        ("1", float("inf")),
        ("1", 10**400),
        ("1e99999", 1.0),
    ],
)
def test_a_value_that_does_not(text: str, value: object) -> None:
    assert not prints_so(text, value)


def test_a_half_is_not_rounded_to_what_no_rule_gives() -> None:
    assert not prints_so("0.133", 0.1335 + 1e-9)
    assert not prints_so("2.67", 2.6751)


@pytest.mark.parametrize("value", [0.1325, 0.5, 1.5, 2.675, 1e-7, 123456.5, 1 / 3, 7.25, 0.1 + 0.2])
@pytest.mark.parametrize("form", ["{:.0f}", "{:.2f}", "{:,.3f}", "{:.1e}", "{:.2%}", "{:g}"])
def test_what_python_prints_is_found(form: str, value: float) -> None:
    assert prints_so(form.format(value), value)


@pytest.mark.parametrize(
    "text",
    [*"HEAD 1.2.3 figure-3 nan 1e 0x10 12,34,56 e5 v1 1e+-+2 0007".split(), "", "1" * 300, "0" * 32],
)
def test_what_is_no_number(text: str) -> None:
    assert parse_quoted(text) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("valid.log_loss 0.133", "valid.log_loss"),
        ("valid.log_loss=0.133", "valid.log_loss"),
        ("log loss: 0.133", "log loss:"),
        ("n 1 234", "n"),
        ("1 234", ""),
    ],
)
def test_the_name_before_a_number(text: str, key: str) -> None:
    quoted = parse_quoted(text)
    assert quoted is not None
    assert quoted.key == key


@pytest.mark.parametrize(
    "name",
    ["metrics.json:valid.log_loss", "valid.log_loss", "valid/log_loss", "Log loss", "loss:", "log-loss"],
)
def test_a_value_by_the_end_of_its_name(reader: Reader, name: str) -> None:
    assert roles(locate(reader, f"{name} 0.133")) == [{"metrics.json:valid.log_loss": "metric, 0.13304"}]


def test_another_name_is_no_match_and_the_others_are_counted(reader: Reader) -> None:
    with pytest.raises(NotFoundError) as error:
        locate(reader, "accuracy 0.133")
    assert "no metric or param accuracy that rounds to this number" in error.value.message
    assert error.value.hint == "1 revision has this number under other names"


@pytest.mark.parametrize(
    ("number", "role"),
    [
        ("0.133", {"metrics.json:valid.log_loss": "metric, 0.13304"}),
        ("0.001", {"lr": "param, 0.001"}),
        ("569", {"extra.json:rows": "value in an output, 569"}),
    ],
)
def test_a_number_is_that_of_a_metric_a_param_or_an_output(
    reader: Reader, number: str, role: dict[str, str]
) -> None:
    assert roles(locate(reader, number)) == [role]


def test_a_declared_metric_comes_before_a_param(project: Path, reader: Reader) -> None:
    experiment(project, "same-number", lr=0.133, valid={})
    keys = [next(iter(found)) for found in roles(locate(reader, "0.133"))]
    assert keys == ["metrics.json:valid.log_loss", "lr"]


def test_a_name_as_it_was_given_comes_before_a_longer_one(project: Path, reader: Reader) -> None:
    experiment(project, "short", loss=0.133, valid={})
    keys = [next(iter(found)) for found in roles(locate(reader, "loss 0.133"))]
    assert keys == ["metrics.json:loss", "metrics.json:valid.log_loss"]


def test_a_param_that_is_the_number_comes_before_one_that_rounds_to_it(project: Path, reader: Reader) -> None:
    experiment(project, "near", lr=0.71)
    experiment(project, "exact", lr=0.7)
    located = locate(reader, "lr 0.7")
    assert [result.experiment and result.experiment.name for result in located.results] == ["exact", "near"]


def test_head_comes_before_experiments(project: Path, reader: Reader) -> None:
    experiment(project, "other", lr=0.002)
    located = locate(reader, "valid.log_loss 0.133")
    assert [result.experiment and result.experiment.name for result in located.results] == [None, "other"]


def test_later_commits_with_the_same_results_count_once(project: Path, reader: Reader) -> None:
    first = git(project, "rev-parse", "HEAD")
    commit(project, {"note.txt": "more"})
    assert [result.rev for result in locate(reader, "0.133").results] == [first]


def test_a_metric_that_only_the_cache_of_dvc_has(project: Path, reader: Reader) -> None:
    md5 = "2" * 32
    git(project, "rm", "--quiet", "metrics.json")
    lock_of_cached = lock().replace("      md5: 2", "      hash: md5\n      md5: 2")
    pipeline = PIPELINE.replace("metrics.json: {cache: false}", "metrics.json")
    commit(project, {"dvc.yaml": pipeline, "dvc.lock": lock_of_cached})
    write(project, {f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}": '{"cached": 0.777}'})
    assert roles(locate(reader, "0.78")) == [{"metrics.json:cached": "metric, 0.777"}]


def test_a_metric_that_this_machine_does_not_have_is_named(project: Path, reader: Reader) -> None:
    git(project, "rm", "--quiet", "metrics.json")
    rev = commit(project, {"dvc.yaml": PIPELINE.replace("metrics.json: {cache: false}", "metrics.json")})
    assert locate(reader, "0.133").left_out == [
        f"{rev[:7]}:metrics.json: not in this machine's DVC cache; `dvc fetch --all-commits` gets it"
    ]


def test_a_list_in_a_metric(project: Path, reader: Reader) -> None:
    commit(project, files(folds=[0.5, 0.625]))
    assert roles(locate(reader, "0.625")) == [{"metrics.json:folds.1": "metric, 0.625"}]


def test_a_file_of_that_name_has_precedence(project: Path, reader: Reader, tmp_path: Path) -> None:
    place = tmp_path / "0.133"
    place.write_text(files()["dvc.yaml"])
    located = locate(reader, str(place))
    assert not located.is_number


def test_a_tag_of_that_name_has_precedence(project: Path, reader: Reader) -> None:
    git(project, "tag", "0.133")
    assert roles(locate(reader, "0.133")) == [{}]


def test_an_experiment_of_that_name_has_precedence(project: Path, reader: Reader) -> None:
    experiment(project, "0.133", lr=0.5)
    located = locate(reader, "0.133")
    assert [result.experiment and result.experiment.name for result in located.results] == ["0.133"]


def all_digits(project: Path, digits: int) -> str:
    """Commit until an id begins with so many digits, as a number is written, and return these."""
    for number in range(10_000):
        rev = commit(project, {"note.txt": str(number)})
        if rev[:digits].isdigit() and rev[0] != "0":
            return rev[:digits]
    raise AssertionError


def test_four_digits_are_a_number_where_one_is_found(project: Path, reader: Reader) -> None:
    text = all_digits(project, 4)
    commit(project, files(n=int(text)))
    located = locate(reader, text)
    assert located.is_number
    assert "taken for a number" in located.notes[0]


def test_four_digits_are_a_commit_where_no_number_is_found(project: Path, reader: Reader) -> None:
    text = all_digits(project, 4)
    (result,) = locate(reader, text).results
    assert result.rev.startswith(text)


def test_seven_digits_are_a_commit_and_a_sign_makes_them_a_number(
    project: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = all_digits(project, 4)
    monkeypatch.setattr("locatable.locate.SHORTEST_ID", 4)
    commit(project, files(n=int(text)))
    located = locate(reader, text)
    assert not located.is_number
    assert located.notes == [
        f"{text}: taken for commit {located.results[0].rev[:12]}; for the number, write +{text}"
    ]
    assert locate(reader, f"+{text}").is_number


def test_nothing_has_that_number(reader: Reader) -> None:
    with pytest.raises(NotFoundError) as error:
        locate(reader, "0.5")
    assert str(error.value) == (
        "0.5: no file, experiment, Git revision or MLflow run of that name, "
        "and no metric or param that rounds to this number"
    )


def test_a_metrics_file_that_cannot_be_read_is_named(project: Path, reader: Reader) -> None:
    bad = commit(project, {"metrics.json": "{"})
    (line,) = locate(reader, "0.133").left_out
    assert line.startswith(f"{bad[:7]}:metrics.json: ")


def test_many_results_are_counted_and_the_likeliest_shown(project: Path, reader: Reader) -> None:
    for number in range(12):
        experiment(project, f"exp-{number}", lr=number)
    located = locate(reader, "0.133")
    lines = render.candidates("0.133", located.results).splitlines()
    assert lines[0] == "0.133: 13 results have such a value; the likeliest first"
    assert len(lines) == 12
    assert lines[-1].startswith("  and 3 more")


@pytest.mark.parametrize(
    ("content", "asked", "role"),
    [
        ('{"word": "0.75"}', "word 0.75", {"metrics.json:word": "metric, '0.75'"}),
        (
            '{"seed": 12345678901234567}',
            "12345678901234567",
            {"metrics.json:seed": "metric, 12345678901234567"},
        ),
        ("[0.5, 0.25]", "0.25", {"metrics.json:1": "metric, 0.25"}),
    ],
)
def test_numbers_are_found_however_a_metrics_file_has_them(
    project: Path, content: str, asked: str, role: dict[str, str]
) -> None:
    commit(project, {"metrics.json": content})
    with Reader(project) as reader:
        assert roles(locate(reader, asked)) == [role]
