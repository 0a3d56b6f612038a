"""Draw the figures of an experiment in four formats. A copy of this file is the script of the stage."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The fixed salt makes SVG files reproducible.
STYLE = {"axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6", "svg.hashsalt": "documents"}
UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
FORMATS = ("png", "jpg", "pdf", "svg")
# `seed` determines the data, and `strength` changes a little from each experiment to the next.
Params = dict[str, float]


def _scores(params: Params) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(int(params["seed"]))
    labels = random.random(400) < 0.4
    return labels, random.normal(size=400) + params["strength"] * labels


def roc(axes: Axes, params: Params) -> None:
    """Draw a receiver operating characteristic."""
    labels, scores = _scores(params)
    ordered = labels[np.argsort(-scores)]
    false = np.cumsum(~ordered) / (~ordered).sum()
    true = np.cumsum(ordered) / ordered.sum()
    axes.plot([0, 1], [0, 1], "--", color="#9a9a9a")
    axes.plot(false, true)
    axes.set(xlabel="False positive rate", ylabel="True positive rate", xlim=(0, 1), ylim=(0, 1.02))


def loss(axes: Axes, params: Params) -> None:
    """Draw losses by epoch."""
    random = np.random.default_rng(int(params["seed"]))
    epochs = np.arange(1, 41)
    for name, floor in (("train", 0.1), ("valid", 0.2)):
        noise = 0.02 * random.normal(size=40)
        axes.plot(epochs, floor + np.exp(-epochs * params["strength"] / 15) + noise, label=name)
    axes.set(xlabel="Epoch", ylabel="Log loss", ylim=(0, 1.4))
    axes.legend()


def calibration(axes: Axes, params: Params) -> None:
    """Draw measured frequencies by predicted ones."""
    random = np.random.default_rng(int(params["seed"]))
    predicted = np.linspace(0.05, 0.95, 10)
    measured = predicted ** params["strength"] + 0.03 * random.normal(size=10)
    axes.plot([0, 1], [0, 1], "--", color="#9a9a9a")
    axes.plot(predicted, measured, "o-")
    axes.set(xlabel="Predicted", ylabel="Measured", xlim=(0, 1), ylim=(-0.05, 1.05))


def confusion(axes: Axes, params: Params) -> None:
    """Draw a matrix of numbers."""
    random = np.random.default_rng(int(params["seed"]))
    counts = random.poisson(4, (5, 5)) + np.diag(random.poisson(20, 5)) + 0.0
    counts = np.round(counts * params["strength"])
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=80)
    axes.grid(visible=False)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, f"{count:.0f}", ha="center", va="center")
    axes.set(xlabel="Predicted", ylabel="Actual")


def histogram(axes: Axes, params: Params) -> None:
    """Draw scores of two classes."""
    labels, scores = _scores(params)
    axes.hist([scores[labels], scores[~labels]], bins=20, label=["yes", "no"])
    axes.set(xlabel="Score", ylabel="Number")
    axes.legend()


def residuals(axes: Axes, params: Params) -> None:
    """Draw points around a line."""
    random = np.random.default_rng(int(params["seed"]))
    measured = random.random(200)
    axes.plot(measured, measured + 0.1 * params["strength"] * random.normal(size=200), "o", alpha=0.5)
    axes.axline((0, 0), slope=1, color="#9a9a9a")
    axes.set(xlabel="Measured", ylabel="Predicted", xlim=(0, 1), ylim=(0, 1))


def importances(axes: Axes, params: Params) -> None:
    """Draw bars."""
    random = np.random.default_rng(int(params["seed"]))
    axes.barh([f"feature {number}" for number in range(8)], np.sort(random.random(8)))
    axes.set(xlabel="Importance", xlim=(0, 1))


def learning(axes: Axes, params: Params) -> None:
    """Draw an error by the number of examples, on a logarithmic axis, with a band."""
    random = np.random.default_rng(int(params["seed"]))
    sizes = np.logspace(1, 4, 15)
    error = sizes ** (-0.2 * params["strength"]) + 0.02 * random.random(15)
    axes.semilogx(sizes, error)
    axes.fill_between(sizes, error * 0.85, error * 1.15, alpha=0.3)
    axes.set(xlabel="Examples", ylabel="Error", ylim=(0, 1))


def violins(axes: Axes, params: Params) -> None:
    """Draw distributions side by side."""
    random = np.random.default_rng(int(params["seed"]))
    axes.violinplot([random.normal(size=60) + number / 2 for number in range(4)])
    axes.set(xlabel="Group", ylabel="Value")


def field(axes: Axes, params: Params) -> None:
    """Draw a field of values."""
    random = np.random.default_rng(int(params["seed"]))
    values = random.normal(size=(40, 40)).cumsum(0).cumsum(1)
    axes.imshow(values, cmap="viridis")
    axes.set(xlabel="x", ylabel="y")


def spectrum(axes: Axes, params: Params) -> None:
    """Draw a periodogram."""
    random = np.random.default_rng(int(params["seed"]))
    power = np.abs(np.fft.rfft(random.normal(size=300).cumsum())) ** 2
    axes.loglog(power[1:])
    axes.set(xlabel="Frequency", ylabel="Power")


Kind = Callable[[Axes, Params], None]
# The kinds of figures that experiments draw, and further kinds that no experiment draws.
KINDS: dict[str, Kind] = {"roc": roc, "loss": loss, "calibration": calibration, "confusion": confusion}
OTHER_KINDS: tuple[Kind, ...] = (histogram, residuals, importances, learning, violins, field, spectrum)


@matplotlib.rc_context(STYLE)
def draw(kind: Kind, params: Params, *paths: Path) -> None:
    """Draw one figure, 4 by 4 inches, into files of any format."""
    figure = Figure(figsize=(4, 4), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.set_title(kind.__name__.capitalize(), fontsize="medium")
    kind(axes, params)
    for path in paths:
        figure.savefig(path, metadata=UNDATED.get(path.suffix[1:]))


if __name__ == "__main__":
    Path("figures").mkdir(exist_ok=True)
    for name, each in KINDS.items():
        files = [Path("figures", f"{name}.{format}") for format in FORMATS]
        draw(each, json.loads(Path(sys.argv[1]).read_text()), *files)
