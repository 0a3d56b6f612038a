
def roc(axes: Axes, curves: dict[str, pd.DataFrame], area: float) -> None:
    """Receiver operating characteristic; columns false_positive_rate, true_positive_rate."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    _curves(axes, curves, "default")
    _unit_square(axes, "False positive rate", "True positive rate", f"ROC curve (area {area:.3f})")


def precision_recall(axes: Axes, curves: dict[str, pd.DataFrame], average: float) -> None:
    """Precision against recall; each curve has the columns recall, precision."""
    _curves(axes, curves, "steps-pre")
    _unit_square(axes, "Recall", "Precision", f"Precision–recall (average {average:.3f})")


def calibration(axes: Axes, curve: pd.DataFrame, brier: float) -> None:
    """Observed against predicted frequency; `curve` has the columns predicted, observed."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    axes.plot(curve["predicted"], curve["observed"], color=BLUE, marker="o", markersize=4)
    _unit_square(axes, "Predicted probability", "Observed frequency", f"Calibration (Brier {brier:.3f})")


def confusion(axes: Axes, counts: np.ndarray, names: np.ndarray) -> None:
    """Confusion matrix; `counts` is (n_classes, n_classes), actual by predicted."""
    axes.imshow(counts, cmap="Blues", vmin=0)
    size = max(3, min(14, 60 // len(names)))
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 4 else 90)
    axes.set_yticks(range(len(names)), names, rotation=90 if len(names) < 4 else 0, va="center")
    axes.set(xlabel="Predicted", ylabel="Actual", title="Confusion matrix")


def _curves(axes: Axes, curves: dict[str, pd.DataFrame], drawstyle: str) -> None:
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):  # of more, the first ten
        axes.plot(*curve.to_numpy().T, color=colour, drawstyle=drawstyle, label=name)
    if len(curves) > 1:
        axes.legend(fontsize="x-small")


def _unit_square(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, title=title)
    axes.set_aspect("equal")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
