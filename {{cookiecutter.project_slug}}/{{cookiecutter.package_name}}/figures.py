"""Draw the figures of `evaluate` as PNG files for a paper. `dvc plots` draws the same data from CSV files."""

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
    """Draw one figure of 4 by 4 inches at 200 dots per inch, and write it to a file."""
    # Avoid pyplot, because it looks for a window system and takes longer to import.
    figure = Figure(figsize=(4, 4), dpi=200, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize="medium")
    draw(axes, *data)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Git keeps the figures of every experiment. With 256 colours, they look the same at half the size.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(256)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True, dpi=(200, 200))

{% include 'tasks/' ~ cookiecutter.task ~ '/figures.py' -%}
