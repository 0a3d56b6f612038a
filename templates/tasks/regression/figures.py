
def predicted(axes: Axes, rows: pd.DataFrame, r2: float) -> None:
    """Predicted against observed values; `rows` has the columns observed, predicted."""
    ends = [rows.to_numpy().min(), rows.to_numpy().max()]
    axes.plot(ends, ends, color=GREY, linestyle=":", linewidth=1)
    axes.plot(rows["observed"], rows["predicted"], color=BLUE, **POINTS)
    axes.set_aspect("equal")
    _label(axes, "Observed", "Predicted", f"Predicted against observed (R² {r2:.3f})")


def residuals(axes: Axes, rows: pd.DataFrame, half_width: float) -> None:
    """Observed minus predicted, against predicted values; `rows` has the columns predicted, residual."""
    axes.axhline(0, color=GREY, linestyle=":", linewidth=1)
    axes.axhspan(-half_width, half_width, color=BLUE, alpha=0.1)
    axes.plot(rows["predicted"], rows["residual"], color=BLUE, **POINTS)
    _label(axes, "Predicted", "Observed - predicted", f"Residuals (most within ±{half_width:.3g})")


def _label(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
