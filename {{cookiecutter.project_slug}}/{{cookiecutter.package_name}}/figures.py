"""The figures of `evaluate`, as PNG for a paper; DVC draws the same data from the CSV files."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

matplotlib.rcParams |= {"axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6"}
GREY = "#9a9a9a"
{%- if cookiecutter.task == 'regression' %}
POINTS = {"marker": "o", "markersize": 4, "alpha": 0.5, "linestyle": "none", "markeredgewidth": 0}
{%- endif %}


def save(draw: Callable[..., None], path: Path, title: str, *data: object) -> None:
    """Draw one figure, 4 by 4 inches at 200 dots per inch."""
    # `Figure` without pyplot: no window system is looked for, and start-up is shorter.
    figure = Figure(figsize=(4, 4), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize="medium")
    draw(axes, *data)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Figures are kept in Git with every experiment: 256 colours look the same in half of the size.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True, dpi=(200, 200))

{% include 'tasks/' ~ cookiecutter.task ~ '/figures.py' -%}
