"""Real tables go through all stages of both tasks, and what no model can take is refused in one line.

A process runs many tables, since starting one costs more than most of them do. The tables are scikit-learn's,
the shipped penguins, and those of `tests/tables`, whose README says where they come from.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import TEMPLATE, generate

DRIVER = Path(__file__).with_name("tables_driver.py")
TABLES = TEMPLATE / "tests/tables"
PENGUINS = (TEMPLATE / "templates/tasks/regression/raw.csv").read_text()
FIGURES = {
    "classification": ["calibration.png", "confusion.png", "precision_recall.png", "roc.png"],
    "regression": ["predicted.png", "residuals.png"],
}
MODELS = {
    "classification": ["logistic", "forest", "boosting"],
    "regression": ["linear", "forest", "boosting"],
}


def shipped(name: str) -> str:
    return (TABLES / f"{name}.csv").read_text()


# What each table is, params beside the defaults, and the metric of test rows that every model must reach.
CLASSES = {
    "wine": ({"sklearn": "wine"}, {"target": "target"}, ("roc_auc", 0.98)),
    "iris": ({"sklearn": "iris"}, {"target": "target"}, ("macro_f1", 0.8)),
    "penguins": ({"csv": PENGUINS}, {"target": "species"}, ("accuracy", 0.95)),
    "penguins by sex": (
        {"csv": PENGUINS, "parquet": {"species": "category", "year": "Int64"}},
        {"target": "sex"},
        ("roc_auc", 0.85),
    ),
    "weather": (
        {"csv": shipped("weather")},
        {"target": "weather", "drop": ["date"], "stratify": True},
        ("roc_auc", 0.7),
    ),
    "elections": ({"csv": shipped("elections")}, {"target": "vote"}, ("accuracy", 0.85)),
}
QUANTITIES = {
    "penguins": ({"csv": PENGUINS}, {"target": "body_mass_g", "stratify": "species"}, ("r2", 0.7)),
    "diabetes": ({"sklearn": "diabetes"}, {"target": "target"}, ("r2", 0.25)),
    "investments": ({"csv": shipped("investments")}, {"target": "invest", "group": "firm"}, ("rmse", None)),
    "investments by year": (
        {"csv": shipped("investments")},
        {"target": "invest", "time": "year"},
        ("rmse", None),
    ),
    "crime": ({"csv": shipped("crime")}, {"target": "violent", "drop": ["state"]}, ("rmse", None)),
    "temperatures": ({"csv": shipped("weather")}, {"target": "temp_max", "time": "date"}, ("r2", 0.6)),
    "seats": (
        {"csv": shipped("planes"), "parquet": {"engine": "category"}},
        {"target": "seats", "drop": ["tailnum"]},
        ("r2", 0.5),
    ),
}
TASKS = {"classification": CLASSES, "regression": QUANTITIES}
ALL = [(task, table) for task, tables in TASKS.items() for table in tables]
# Boosting takes as long as all else, most of all with several classes.
BOOSTED = ("penguins",)
# Those that no other test looks at.
ONCE_A_WEEK = ("iris", "weather", "investments", "crime", "seats")


def models_of(task: str, table: str) -> list[str]:
    """The models that a table goes through."""
    return [model for model in MODELS[task] if model != "boosting" or table in BOOSTED]


def each() -> list[Any]:
    """Every table with each of its models."""
    found = []
    for task, table in ALL:
        marks = pytest.mark.weekly if table in ONCE_A_WEEK else ()
        found += [pytest.param(task, table, model, marks=marks) for model in models_of(task, table)]
    return found


LONG = "size,kind\n" + "".join(
    f"{n * 7919 % 10007},{int(n * 7919 % 10007 + n * 104729 % 10009 > 10008)}\n" for n in range(27000)
)
Driver = Callable[[str, dict, int], dict]


@pytest.fixture(scope="module")
def drive(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """Run cases in a project of a task that was just generated."""

    def call(task: str, cases: dict, seed: int = 0) -> dict:
        project = generate(tmp_path_factory.mktemp("tables"), task=task, project_name="Tables")
        done = subprocess.run(
            ["python", "-W", "error::FutureWarning", str(DRIVER), "tables"],
            cwd=project,
            env=env | {"PYTHONHASHSEED": str(seed)},
            input=json.dumps(cases),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


def cases_of(task: str, *names: str) -> dict[str, dict]:
    """These tables, each for its models."""
    tables = {name: TASKS[task][name] for name in names}
    return {
        name: {**table, "prepare": params, "models": models_of(task, name)}
        for name, (table, params, _) in tables.items()
    }


@pytest.fixture(scope="module")
def results(drive: Driver, request: pytest.FixtureRequest) -> dict[str, dict]:
    """Every table of this run through all stages by its models."""
    found = {}
    left_out = () if request.config.option.markexpr == "weekly" else ONCE_A_WEEK
    for task in TASKS:
        tables = [table for table in TASKS[task] if table not in left_out]
        long = {"csv": LONG, "prepare": {"target": "kind"}, "models": MODELS[task][:1]}
        found[task] = drive(task, {**cases_of(task, *tables), "long": long})
    return found


@pytest.mark.parametrize(("task", "table", "model"), each())
def test_a_real_table_gives_a_model_its_metrics_and_figures(results, task, table, model):
    found = results[task][table]
    assert "refused" not in found
    metric, least = TASKS[task][table][2]
    assert least is None or found[model]["test"][metric] >= least
    assert found[model]["figures"] == FIGURES[task]


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("classification", ["elections"]),
        pytest.param("regression", ["penguins"], marks=pytest.mark.weekly),
    ],
)
def test_another_process_writes_the_same_bytes(results, drive, task, names):
    again = drive(task, cases_of(task, *names), seed=1)
    assert again == {name: results[task][name] for name in names}


def test_rows_without_a_target_are_left_out_and_counted(results):
    found = results["classification"]["penguins by sex"]["logistic"]
    assert sum(found["rows"].values()) == 333
    assert found["said"] == "data/raw.parquet: sex: 11 of 344 rows left out: empty there\n"


@pytest.mark.parametrize("task", MODELS)
def test_plots_of_a_long_table_are_short_enough_for_git(results, task):
    (found,) = results[task]["long"].values()
    assert found["rows"]["test"] == 5400
    drawn = found["plots"]["precision_recall" if task == "classification" else "rows"]
    assert {len(values) for values in drawn.values()} == {2000}


def test_several_classes_have_the_metrics_of_several(results):
    found = results["classification"]
    common = {"log_loss", "roc_auc", "average_precision", "brier", "accuracy"}
    assert found["wine"]["forest"]["test"].keys() == common | {"balanced_accuracy", "macro_f1"}
    assert found["elections"]["forest"]["test"].keys() == common | {"precision", "recall"}


def test_the_prior_has_the_share_of_the_largest_class(results):
    found = results["classification"]["elections"]["forest"]
    confusion = found["plots"]["confusion"]["actual"]
    largest = max(map(confusion.count, set(confusion)))
    assert found["prior"]["accuracy"] == float(f"{largest / len(confusion):.10g}")
    assert found["prior"].keys() == found["test"].keys()
    assert found["prior"]["roc_auc"] == 0.5


@pytest.mark.parametrize(("table", "guess"), [("diabetes", "mean"), ("temperatures", "last_value")])
def test_a_quantity_is_held_against_one_number(results, table, guess):
    found = results["regression"][table]["forest"]
    assert found[guess]["rmse"] > found["test"]["rmse"]
    assert (abs(found[guess]["r2"]) < 0.1) == (guess == "mean")


def test_the_last_row_is_no_value_of_all_where_several_have_its_time(results):
    found = results["regression"]["investments by year"]["forest"]
    assert found.keys() >= {"test", "mean"}
    assert "last_value" not in found


@pytest.mark.parametrize("table", ["elections", "penguins"])
def test_precision_and_recall_have_one_point_for_each_recall(results, table):
    curve = results["classification"][table]["forest"]["plots"]["precision_recall"]
    assert curve["recall"] == sorted(set(curve["recall"]))
    assert (curve["recall"][0], curve["precision"][0]) == (0.0, curve["precision"][1])


def made(**columns: object) -> str:
    """A table of forty rows; a single value stands for all of a column, None for none of it."""
    table = {"size": range(40), "colour": ["red", "blue"] * 20, "kind": ["a", "b"] * 20, **columns}
    lists = {
        name: [values] * 40 if isinstance(values, str | float) else list(values)
        for name, values in table.items()
        if values is not None
    }
    lines = [",".join(lists)] + [",".join(map(str, row)) for row in zip(*lists.values(), strict=True)]
    return "\n".join(lines) + "\n"


NAMES = [f"name {n}" for n in range(40)]
DATES = [f"2026-01-{1 + n % 31:02}" for n in range(40)]
TWO = [1, 2] * 20
ALONE = ["c", *["a", "b"] * 19, "a"]
HERE = "there are: size, colour, kind"
FORMAT = "a CSV is in UTF-8, with a comma between values, a point in numbers, and a line of names"
OTHER = "generate a project with task="
ADVICE = "merge it with another, take its rows out, or choose another column"
SAME = "kind: the same value in every row, or none; choose another prepare.target"
IN_DAYS = "day: dates; add it to prepare.drop, set prepare.time to it, or make numbers of it"
UNREAD = "not read as a table: Error tokenizing data. C error: Expected"
NEVER = "infinite in row {}, or nearly; leave it empty, or take the row out"
UNDATED = "empty in row 2, or no date: write all like 2026-01-31, or split by another"
TOO_FEW = "too many rows of one time, or too large a gap: no train rows are left"
QUANTITY = f"kind: 40 numbers in 40 rows are no classes, but a quantity; {OTHER}regression"
TO_TIME = {"stratify": False, "time": "day"}


def missing(column: str, param: str) -> str:
    return f"{column}: no such column; params.yaml names it in prepare.{param}; {HERE}"


# A table, params, and what `prepare` says of it after the file's name.
REFUSED_BY_BOTH = {
    "no target": (made(), {"target": "sort"}, missing("sort", "target")),
    "no table": ("", {}, f"not read as a table: No columns to parse from file; {FORMAT}"),
    "no rows": ("size,colour,kind\n", {}, SAME),
    "half a table": (
        "size,colour,kind\n1,red,1\n2,red\n1,2,3,4,5,6\n",
        {},
        f"{UNREAD} 3 fields in line 4, saw 6; {FORMAT}",
    ),
    "no column to drop": (made(), {"drop": ["x"]}, missing("x", "drop")),
    "no column to stratify by": (made(), {"stratify": "x"}, missing("x", "stratify")),
    "no group": (made(), {"stratify": False, "group": "x"}, missing("x", "group")),
    "no time": (made(), {"stratify": False, "time": "x"}, missing("x", "time")),
    "one value": (made(kind=1.0), {}, SAME),
    "no value": (made(kind=""), {}, SAME),
    "names": (
        made(who=NAMES, kind=TWO),
        {},
        "who: text that is another in nearly every row; add it to prepare.drop",
    ),
    "dates": (made(day=DATES, kind=TWO), {}, IN_DAYS),
    "dates of another kind": (made(day="Jan 31 2026", kind=TWO), {}, IN_DAYS),
    "infinite": (made(size=[1, 2, "inf", *range(37)], kind=TWO), {}, f"size: {NEVER.format(3)}"),
    "a number whose square is infinite": (
        made(size=[1, -1e300, *range(38)], kind=TWO),
        {},
        f"size: {NEVER.format(2)}",
    ),
    "semicolons": (
        made().replace(",", ";"),
        {},
        f"size;colour;kind: the only name in the first line; {FORMAT}",
    ),
    "semicolons and decimal commas": (
        made(size="1.5").replace(",", ";").replace(".", ","),
        {},
        f"{UNREAD} 1 fields in line 2, saw 2; {FORMAT}",
    ),
    "tabs": (made().replace(",", "\t"), {}, f"size\tcolour\tkind: the only name in the first line; {FORMAT}"),
    "rows longer than the line of names": (
        made().replace("size,", "", 1),
        {},
        f"{UNREAD} 2 fields in line 2, saw 3; {FORMAT}",
    ),
    "two columns of one name": (
        made(like=TWO, kind=TWO).replace("like", "kind"),
        {},
        "kind: the name of two columns; give each a name of its own",
    ),
    "a sign for what is missing": (
        made(size=[1, "?", *range(38)], kind=TWO),
        {},
        "size: '?' in row 2 is no number, as most are; mend it, or empty it",
    ),
    "decimal commas in quotes": (
        made(size=[f'"{n},5"' for n in range(40)], kind=TWO),
        {},
        "size: '0,5' in row 1 is no number, as most are; mend it, or empty it",
    ),
    "row numbers": (
        made(**{"": range(40)}, kind=TWO),
        {},
        "Unnamed: 3: it has no name, and may be a row number; add it to prepare.drop, or name it",
    ),
    "no features": (
        made(kind=TWO),
        {"drop": ["size", "colour"]},
        "kind: no other column is left to predict it from; see prepare.drop",
    ),
    "a group with gaps": (
        made(colour=["red", "", *["blue"] * 38], kind=TWO),
        {"stratify": False, "group": "colour"},
        f"colour: {UNDATED}",
    ),
    "a time that is none": (
        made(day=["2026-01-31", *["1/2/2026"] * 39], kind=TWO),
        TO_TIME,
        f"day: {UNDATED}",
    ),
    "a gap as long as all times": (
        made(kind=TWO),
        {"stratify": False, "time": "size", "gap": 50},
        f"size: {TOO_FEW}",
    ),
    "one time": (made(day="2026-01-31", kind=TWO), TO_TIME, f"day: {TOO_FEW}"),
}
REFUSED = {
    "classification": REFUSED_BY_BOTH
    | {
        "a quantity": (made(kind=[n / 7 for n in range(40)]), {}, QUANTITY),
        "a whole quantity": (made(kind=range(40)), {}, QUANTITY),
        "a class of one row": (
            made(kind=ALONE),
            {},
            f"kind: 1 row of 'c' is too few for three parts; {ADVICE}",
        ),
        "a class that a part lacks": (
            made(kind=["a"] * 36 + ["b"] * 4, day=range(40)),
            TO_TIME,
            f"kind: too few rows (4) of 'b': none is in the train rows; {ADVICE}",
        ),
        "a class of two groups": (
            made(kind=["a"] * 36 + ["b"] * 4, place=[n // 2 for n in range(40)]),
            {"stratify": False, "group": "place"},
            f"kind: too few groups (2) of 'b': none is in the valid rows; {ADVICE}",
        ),
        "few rows of a real table": (
            shipped("planes"),
            {"target": "engine", "drop": ["tailnum"]},
            f"engine: 1 row of '4 Cycle' is too few for three parts; {ADVICE}",
        ),
    },
    "regression": REFUSED_BY_BOTH
    | {
        "words": (made(), {}, f"kind: not a number in row 1; mend it, or for classes {OTHER}classification"),
        "an infinite target": (
            made(kind=[1, "inf", *range(38)]),
            {},
            f"kind: not a number in row 2; mend it, or for classes {OTHER}classification",
        ),
        "truth values": (
            made(kind=["True", "False"] * 20),
            {},
            "kind: no numbers; choose another prepare.target",
        ),
    },
}


ENCODED = {
    encoding: {"csv": made(colour="rosé"), "encoding": encoding, "prepare": {"target": "kind"}}
    for encoding in ("latin-1", "utf-16")
}


@pytest.mark.parametrize(
    ("task", "case"), [(task, case) for task, cases in REFUSED.items() for case in cases]
)
def test_a_table_that_does_not_fit_is_refused_in_one_line_that_says_what_to_do(found, task, case):
    assert found[task][case] == {"refused": f"data/raw.csv: {REFUSED[task][case][2]}"}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_table_that_is_not_in_utf_8_is_refused(found, encoding):
    refused = found["classification"][encoding]["refused"]
    assert refused.startswith("data/raw.csv: not read as a table: 'utf-8' codec can't decode byte 0x")
    assert refused.endswith(f"; {FORMAT}")


ALLOWED = {
    "months, which are no dates": made(month=["May", "June"] * 20),
    "ranges, which are no dates": made(age=["10-12", "12-14"] * 20),
    "a column without a value": made(empty=""),
    "truth values with gaps": made(striped=["True", "", "False", ""] * 10),
    "a class of words and numbers": made(kind=["1", "b"] * 20),
    "a time of numbers": made(size=range(40)),
    "counts with an open end": made(children=["0", "1", "2", "3+"] * 10),
    "names that mean something elsewhere": made(
        **{"class": range(40), "a<b": range(40), "c[0]": range(40), "größe": 1.0, "x.1": TWO}
    ),
    "a mark of the byte order, blanks after commas, a line break": "\ufeff"
    + made(colour=['"red\nwine"', "blue"] * 20).replace(",", ", "),
}


# Names go through all stages; what values mean is decided by the first.
ODD = {
    name: {
        "csv": csv,
        "prepare": {"target": "kind"},
        "models": ["logistic"] if "names" in name else [None],
    }
    for name, csv in ALLOWED.items()
} | {
    "a target with blanks in its name": {
        "csv": made().replace("kind", "the kind of it"),
        "prepare": {"target": "the kind of it"},
        "models": ["logistic"],
    }
}


@pytest.mark.parametrize("case", ODD)
def test_what_only_looks_odd_is_taken(found, case):
    assert "refused" not in found["classification"][case]


HALVES = [n + 0.5 for n in range(40)]
PAIRS = [n // 2 for n in range(40)]
MIXED = ["red", "red", "blue", "blue"] * 10
LINEAR = {"size": HALVES, "kind": [n * 7 % 40 / 4 for n in range(40)]}
IN_TIME = {"target": "kind", "stratify": False, "time": "size"}


def plain(**columns: object) -> str:
    """A table with nothing to say, but for these columns."""
    return made(**{"size": HALVES, "colour": MIXED, **columns})


BLOCKS = "{} values in 40 rows; if these belong together, set prepare.group to it"
SAYS = "says what the target says; add it to prepare.drop"
LIKE = "20 of 40 rows are like an earlier one"
# A task, a table, params beside the target, and what `prepare` says after the file's name, if anything.
SAID = {
    "no leak": ("classification", plain(), {}, ""),
    "row numbers": (
        "classification",
        plain(number=range(40)),
        {},
        "number: whole numbers, nearly all different; if they are ids, add it to prepare.drop",
    ),
    "row numbers left out": ("classification", plain(number=range(40)), {"drop": ["number"]}, ""),
    "ids in blocks": ("classification", plain(animal=PAIRS), {}, f"animal: {BLOCKS.format(20)}"),
    "ids left out": (
        "classification",
        plain(animal=[f"A{n}" for n in PAIRS]),
        {"drop": ["animal"]},
        f"animal: {BLOCKS.format(20)}",
    ),
    "ids by their name": (
        "regression",
        plain(**LINEAR, patient_id=[n * 7 % 25 for n in range(40)]),
        {},
        f"patient_id: {BLOCKS.format(25)}",
    ),
    "ids whose rows have one target": (
        "classification",
        plain(code=[n * 3 % 10 for n in range(40)]),
        {},
        f"code: {BLOCKS.format(10)}",
    ),
    "a group": ("classification", plain(animal=PAIRS), {"stratify": False, "group": "animal"}, ""),
    "the target in other words": ("classification", plain(alias=["yes", "no"] * 20), {}, f"alias: {SAYS}"),
    "the target in another unit": (
        "regression",
        plain(**LINEAR, grams=[1000 * kind for kind in LINEAR["kind"]]),
        {},
        f"grams: {SAYS}",
    ),
    "rows like others": (
        "classification",
        plain(size=HALVES[:20] * 2),
        {},
        f"{LIKE}; set prepare.distinct: true to leave them out",
    ),
    "rows like others, left out": (
        "classification",
        plain(size=HALVES[:20] * 2),
        {"distinct": True},
        f"{LIKE}; left out",
    ),
    "rows like those of others": (
        "classification",
        plain(size=HALVES[:20] * 2, animal=range(40)),
        {"stratify": False, "group": "animal"},
        "",
    ),
    "a forecast": (
        "regression",
        plain(**LINEAR),
        IN_TIME,
        "size: if the target lies ahead (a forecast), set prepare.gap to how far, else to 0",
    ),
    "a forecast with a gap": ("regression", plain(**LINEAR), {**IN_TIME, "gap": 2}, ""),
}


def leak(name: str) -> str:
    """The name of a case of a leak beside those of refused tables."""
    return f"leak: {name}"


@pytest.mark.parametrize("case", SAID)
def test_what_may_be_a_leak_is_said_in_one_line_with_the_param_that_settles_it(found, case):
    task, *_, line = SAID[case]
    assert found[task][leak(case)] == {"said": f"data/raw.csv: {line}\n" if line else ""}


DAYS = [f"2026-{2 + n // 28:02}-{1 + n % 28:02}" for n in range(40)]
AHEAD = {
    f"{kind}, gap {gap}": {
        "csv": made(**{**LINEAR, "size": HALVES[::-1], "time": times}),
        "prepare": {**IN_TIME, "time": "time", "gap": gap},
        "models": ["linear"],
    }
    for kind, times in (("numbers", range(40)), ("days", DAYS))
    for gap in (0, 2, None)
}
SELDOM = ["b" if n % 8 == 0 or n in (1, 9) else "a" for n in range(40)]
UNWEIGHTED = {
    "csv": made(size=[n * 7 % 40 + 10 * (kind == "b") + 0.5 for n, kind in enumerate(SELDOM)], kind=SELDOM),
    "prepare": {"target": "kind"},
    "models": ["logistic", "forest"],
}
WEIGHTS = {"unweighted": UNWEIGHTED, "weighted": {**UNWEIGHTED, "train": {"class_weight": "balanced"}}}
RARE = {
    f"rare: {rare}": {
        "csv": made(size=HALVES, colour=[*["red", "blue"] * 18, *["green"] * 2, *["pink"] * 2]),
        "prepare": {"target": "kind"},
        "models": ["logistic"],
        "train": {"rare": rare},
    }
    for rare in (0, 0.01, 0.3)
}


@pytest.fixture(scope="module")
def found(drive: Driver) -> dict[str, dict]:
    """What becomes of each table above: what `prepare` says of it, or what its models reach."""
    cases = {"classification": {**ENCODED, **ODD, **WEIGHTS, **RARE}, "regression": {**ENCODED, **AHEAD}}
    for task, tables in REFUSED.items():
        for name, (csv, params, _) in tables.items():
            cases[task][name] = {"csv": csv, "prepare": {"target": "kind", **params}}
    for name, (task, csv, params, _) in SAID.items():
        cases[task][leak(name)] = {"csv": csv, "prepare": {"target": "kind", **params}}
    return {task: drive(task, tables) for task, tables in cases.items()}


def test_rows_whose_target_lies_in_a_later_part_are_left_out(found):
    rows = {name: list(found["regression"][name]["linear"]["rows"].values()) for name in AHEAD}
    assert rows == {name: [20, 8, 8] if name.endswith("2") else [24, 8, 8] for name in AHEAD}


@pytest.mark.parametrize("model", UNWEIGHTED["models"])
def test_balanced_weights_find_more_of_a_rare_class(found, model):
    unweighted, weighted = (found["classification"][name][model] for name in WEIGHTS)
    called = [each["plots"]["confusion"]["predicted"].count("b") for each in (unweighted, weighted)]
    assert called[0] <= called[1]
    assert unweighted["digest"] != weighted["digest"]


def test_how_rare_a_value_must_be_is_a_param(found):
    digests = [found["classification"][name]["logistic"]["digest"] for name in RARE]
    assert len(set(digests)) == 3
