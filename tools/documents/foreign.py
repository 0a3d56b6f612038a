"""Row `foreign`: plots by the same library, with the same or different axes, that no experiment made."""

from collections.abc import Iterator
from pathlib import Path

from . import draw
from .corpus import SEED, NotBuiltError, Placement, Row, placed, run

LETTER = "-gravity northwest -pointsize 48 -annotate +9+52 '(a)'"
# Changes of a figure: the format in which it is drawn, and the command that makes `out` from `in`.
CHANGES = {
    "as it is": ("png", "cp in.png out.png"),
    "scaled, JPEG": ("png", "convert in.png -resize 70% -quality 60 out.jpg"),
    "cropped, letter": ("png", f"convert in.png -gravity center -crop 92x92%+0+0 +repage {LETTER} out.png"),
    "PDF": ("pdf", "cp in.pdf out.pdf"),
    "Ghostscript": ("pdf", "gs -q -sDEVICE=pdfwrite -o out.pdf in.pdf"),
}
OF_OTHER_KINDS = 161
OF_THE_SAME_KINDS = 200
IN_A_LIST = 10
# The name of the way, the function that draws the figure, and its params.
Foreign = tuple[str, draw.Kind, draw.Params]


def build(row: Row) -> None:
    """Build the row."""
    figures = list(_figures())
    for start in range(0, len(figures), IN_A_LIST):
        number = start // IN_A_LIST
        change = list(CHANGES)[number % len(CHANGES)]
        files = []
        for index, figure in enumerate(figures[start : start + IN_A_LIST]):
            try:
                files.append(_changed(row, Path(str(number), str(index)), change, figure))
            except NotBuiltError as error:
                row.not_built.append(f"{figure[0]}, {change}: {error}")
        row.add_list(f"foreign-{number}", files)


def _figures() -> Iterator[Foreign]:
    for number in range(OF_OTHER_KINDS):
        kind = draw.OTHER_KINDS[number % len(draw.OTHER_KINDS)]
        yield "another kind", kind, {"seed": 100 + number, "strength": 1.5}
    kinds = list(draw.KINDS.values())
    for number in range(0, OF_THE_SAME_KINDS, 2 * len(kinds)):
        # Strengths between those of two experiments, and below and above those of all experiments.
        strength = 0.55 + number / 80
        for kind in kinds:
            yield "the same kind, other data", kind, {"seed": 1000 + number, "strength": strength}
        for kind in kinds:
            yield "the same kind and data, of no experiment", kind, {"seed": SEED, "strength": strength}


def _changed(row: Row, folder: Path, change: str, figure: Foreign) -> tuple[Path, Placement]:
    way, kind, params = figure
    drawn_as, command = CHANGES[change]
    work = row.folder / folder
    work.mkdir(parents=True, exist_ok=True)
    draw.draw(kind, params, work / f"in.{drawn_as}")
    run(command, work)
    made = next(work.glob("out.*"))
    return made, placed(f"{way}, {change}", rf"\b{folder}/out\b", None)
