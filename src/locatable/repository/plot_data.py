"""What `dvc plots` draws of a plot's files, as numbers."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .dvc_repo import one_line


@dataclass(frozen=True)
class PlotData:
    """The points of a plot.

    Attributes:
        title: of the plot.
        x_label: of the axis; `step` where lines of the file are counted.
        y_label: of the other one.
        template: by which DVC draws it, empty where that is not said.
        lines: points (x, y) by the name of the line, as the files have them.
    """

    title: str
    x_label: str
    y_label: str
    template: str
    lines: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)


def plot_data(name: str, settings: Mapping[str, Any], contents: Mapping[str, Any]) -> PlotData:
    """Have DVC find the points of a plot.

    Args:
        name: of the plot; its path, where the settings name no files.
        settings: as dvc.yaml has them.
        contents: of its files by path, parsed.

    Raises:
        ValueError: the files have no such points.
    """
    from dvc.exceptions import DvcException
    from dvc.render.converter.vega import VegaConverter

    try:
        points, found = VegaConverter(name, dict(contents), dict(settings)).flat_datapoints("")
    except DvcException as error:
        raise ValueError(one_line(str(error))) from None
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError) as error:
        raise ValueError(f"not as a plot's file is: {error!r}") from None
    lines: dict[str, list[tuple[Any, Any]]] = {}
    several_files = len({point["filename"] for point in points}) > 1
    several_fields = len({point["field"] for point in points}) > 1
    for point in points:
        parts = [posixpath.splitext(point["filename"])[0]] if several_files else []
        parts += [point["field"]] if several_fields or not several_files else []
        pair = (point.get(found["x"]), point.get(found["y"]))
        lines.setdefault(" ".join(parts), []).append(pair)
    return PlotData(
        title=str(settings.get("title") or name),
        x_label=str(found.get("x_label") or ""),
        y_label=str(found.get("y_label") or ""),
        template=str(settings.get("template") or ""),
        lines=lines,
    )
