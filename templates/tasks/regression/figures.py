
def predicted(axes: Axes, target: str, rows: pd.DataFrame) -> None:
    """Draw predicted against observed values; `rows` has the columns observed and predicted."""
    ends = [rows[["observed", "predicted"]].min(axis=None), rows[["observed", "predicted"]].max(axis=None)]
    axes.plot(ends, ends, color=GREY, linestyle=":")
    axes.plot(rows["observed"], rows["predicted"], **POINTS)
    axes.set(xlabel=f"Observed {target}", ylabel=f"Predicted {target}", aspect="equal")


def residuals(axes: Axes, target: str, rows: pd.DataFrame, half_width: float) -> None:
    """Draw residuals against predicted values; `rows` has the columns predicted and residual."""
    axes.axhline(0, color=GREY, linestyle=":")
    axes.axhspan(-half_width, half_width, color="C0", alpha=0.1)
    axes.plot(rows["predicted"], rows["residual"], **POINTS)
    axes.set(xlabel=f"Predicted {target}", ylabel=f"Observed - predicted {target}")
