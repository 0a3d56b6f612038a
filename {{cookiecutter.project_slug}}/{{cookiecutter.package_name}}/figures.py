"""The figures of `evaluate`, as PNG for a paper; DVC draws the same data from the CSV files.

Every function takes a `matplotlib.axes.Axes` and a table that `evaluate` also writes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

BLUE, GREY = "#1f5fa8", "#9a9a9a"


def save(draw: Callable[..., None], path: Path, *data: object) -> None:
    """Draw one figure, 4 by 4 inches at 200 dots per inch."""
    # `Figure` without pyplot: no window system is looked for, and start-up is shorter.
    figure = Figure(figsize=(4, 4), dpi=200, layout="constrained")
    draw(figure.subplots(), *data)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Figures are kept in Git with every experiment: 64 colours look the same in a third of the size.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64)
    image.save(path, optimize=True, dpi=(200, 200))


def roc(axes: Axes, curve: pd.DataFrame, area: float) -> None:
    """Receiver operating characteristic; `curve` has the columns false_positive_rate, true_positive_rate."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    axes.plot(curve["false_positive_rate"], curve["true_positive_rate"], color=BLUE)
    _unit_square(axes, "False positive rate", "True positive rate", f"ROC curve (area {area:.3f})")


def precision_recall(axes: Axes, curve: pd.DataFrame, average: float) -> None:
    """Precision against recall; `curve` has the columns recall, precision."""
    axes.plot(curve["recall"], curve["precision"], color=BLUE, drawstyle="steps-pre")
    _unit_square(axes, "Recall", "Precision", f"Precision–recall (average {average:.3f})")


def calibration(axes: Axes, curve: pd.DataFrame, brier: float) -> None:
    """Observed against predicted frequency; `curve` has the columns predicted, observed."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    axes.plot(curve["predicted"], curve["observed"], color=BLUE, marker="o", markersize=4)
    _unit_square(axes, "Predicted probability", "Observed frequency", f"Calibration (Brier {brier:.3f})")


def confusion(axes: Axes, counts: np.ndarray, names: list[str]) -> None:
    """Confusion matrix; `counts` is (n_classes, n_classes), actual by predicted."""
    axes.imshow(counts, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=14)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    axes.set(xlabel="Predicted", ylabel="Actual", title="Confusion matrix")


def _unit_square(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, title=title)
    axes.set_aspect("equal")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
