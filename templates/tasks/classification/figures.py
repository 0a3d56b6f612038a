
def roc(axes: Axes, curves: dict[str, pd.DataFrame]) -> None:
    """Draw ROC curves; each curve has the columns false_positive_rate and true_positive_rate."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="prior")
    _curves(axes, curves, "default")
    _unit_square(axes, "False positive rate", "True positive rate")


def precision_recall(axes: Axes, curves: dict[str, pd.DataFrame], shares: np.ndarray) -> None:
    """Draw precision against recall; the share of the rows in each class is the precision of the prior."""
    for number in range(len(curves)):
        axes.axhline(shares[number], color=f"C{number}", linestyle=":", label="_" if number else "prior")
    _curves(axes, curves, "steps-pre")
    _unit_square(axes, "Recall", "Precision")


def calibration(axes: Axes, curve: pd.DataFrame, name: str) -> None:
    """Draw observed against predicted frequencies; `curve` has the columns predicted and observed."""
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
    axes.plot(curve["predicted"], curve["observed"], marker="o", markersize=4, label=name)
    _unit_square(axes, f"Predicted probability of {name}", f"Observed share of {name}")


def confusion(axes: Axes, counts: np.ndarray, names: np.ndarray, target: str) -> None:
    """Draw a confusion matrix; `counts` has a row for each actual class, of which the shares are printed."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    size = max(3, min(12, 60 // len(names)))
    for (row, column), share in np.ndenumerate(shares):
        text = f"{counts[row, column]}\n{share:.0%}" if share else ""
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 4 else 90)
    axes.set_yticks(range(len(names)), names, rotation=90 if len(names) < 4 else 0, va="center")
    axes.set(xlabel=f"Predicted {target}", ylabel=f"Actual {target}")
    axes.grid(visible=False)


def _curves(axes: Axes, curves: dict[str, pd.DataFrame], drawstyle: str) -> None:
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(*curve.to_numpy().T, color=f"C{number}", drawstyle=drawstyle, label=name)


def _unit_square(axes: Axes, xlabel: str, ylabel: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect="equal")
    axes.figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
