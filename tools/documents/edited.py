"""Row `edited`: pictures that were edited as authors do, with ImageMagick and Pillow."""

from functools import partial
from pathlib import Path

from PIL import Image

from .corpus import NotBuiltError, Row, file_name, placed, run

# Commands that make `out.png` from `in.png`. ImageMagick chooses the font.
CHANGES = {
    "panel letter": "convert in.png -pointsize 48 -fill black -annotate +12+52 (a) out.png",
    "white panel letter on a box": "convert in.png -fill black -draw 'rectangle 640,20 780,110'"
    " -fill white -pointsize 60 -annotate +660+85 B out.png",
    "arrow": "convert in.png -stroke red -strokewidth 5 -draw 'line 250,520 400,380' -fill red"
    " -draw 'polygon 415,365 375,375 405,405' out.png",
    "box": "convert in.png -fill none -stroke red -strokewidth 4 -draw 'rectangle 250,250 450,400' out.png",
    "note": "convert in.png -fill blue -pointsize 36 -annotate +300+420 'here it is' out.png",
    "title cut off": "convert in.png -gravity north -chop 0x48 +repage out.png",
    "labels of axes cut off": "convert in.png -gravity southwest -chop 52x52 +repage out.png",
    "cropped 2 %": "convert in.png -gravity center -crop 96x96%+0+0 +repage out.png",
    "cropped 5 %": "convert in.png -gravity center -crop 90x90%+0+0 +repage out.png",
    "cropped 5 % at a side": "convert in.png -gravity east -chop 40x0 +repage out.png",
    "stretched": "convert in.png -resize 115x100%! out.png",
    "squeezed": "convert in.png -resize 100x80%! out.png",
    "frame": "convert in.png -bordercolor black -border 8 out.png",
    "white margin": "convert in.png -bordercolor white -border 70 out.png",
    "grey": "convert in.png -colorspace Gray out.png",
    "brighter": "convert in.png -brightness-contrast 15x10 out.png",
    "letter, scaled": "convert in.png -pointsize 48 -annotate +12+52 (a) -resize 60% -quality 70 out.jpg",
    "cut from a screen": "convert in.png -resize 83% -gravity center -crop 96x97%+0+0 +repage out.png",
}
MONTAGES = {
    "montage of 2": "montage 0.png 1.png -tile 2x1 -geometry +10+10 out.png",
    "montage of 2, halved": "montage 0.png 1.png -tile 1x2 -geometry 400x400+4+4 out.png",
    "montage of 4": "montage 0.png 1.png 2.png 3.png -tile 2x2 -geometry +10+10 out.png",
    "montage of 4, halved": "montage 0.png 1.png 2.png 3.png -tile 2x2 -geometry 400x400+0+0 out.png",
}
# Formats that Pillow writes: the extension and the options.
FORMATS: dict[str, tuple[str, dict[str, int]]] = {
    "AVIF": ("avif", {"quality": 60}),
    "JPEG 2000": ("jp2", {}),
    "WebP": ("webp", {"quality": 50}),
}
EACH = 6
EACH_MONTAGE = 2


def build(row: Row) -> None:
    """Build the row."""
    for way, command in CHANGES.items():
        row.add_changed(way, EACH, partial(run, command.replace("(a)", "'(a)'")))
    for way, (ending, options) in FORMATS.items():
        row.add_changed(way, EACH, partial(_save, ending, options))
    for way, command in MONTAGES.items():
        _montages(row, way, command)


def _save(ending: str, options: dict[str, int], folder: Path) -> None:
    Image.open(folder / "in.png").convert("RGB").save(folder / f"out.{ending}", **options)


def _montages(row: Row, way: str, command: str) -> None:
    for number in range(EACH_MONTAGE):
        folder = Path(file_name(way), str(number))
        placements = []
        for part in range(command.count(".png") - 1):
            plot = row.take(folder / f"{part}.png")
            placements.append(placed(way, "", plot))
        try:
            run(command, row.folder / folder)
        except NotBuiltError as error:
            row.not_built.append(f"{way}: {error}")
            return
        row.add(row.folder / folder / "out.png", *placements)
