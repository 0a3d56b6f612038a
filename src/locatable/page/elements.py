"""Elements of HTML and SVG, in which every text is escaped."""

import html
from collections.abc import Iterable

# Those of HTML that have no end tag.
VOID = frozenset(("img", "meta", "wbr"))


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Markup | None


def element(name: str, /, *children: Child | Iterable[Child], **attributes: object) -> Markup:
    """An element with its children.

    Args:
        name: of the element.
        children: texts, which are escaped, and elements; None is left out.
        attributes: their values; `_` in a name stands for `-`, and one at its end is left out (`class_`). An
            attribute whose value is None is left out, one whose value is True has none.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(_attribute(key.rstrip("_").replace("_", "-"), value))
    parts.append(">")
    if name not in VOID:
        parts += [join(children), f"</{name}>"]
    return Markup("".join(parts))


def path_text(path: str) -> Markup:
    """A path that may be broken behind each slash."""
    parts = path.split("/")
    return join([[f"{part}/", element("wbr")] for part in parts[:-1]] + [[parts[-1]]])


def join(children: Iterable[Child | Iterable[Child]]) -> Markup:
    """Children one after the other, texts escaped."""
    return Markup("".join(_child(child) for child in children))


def _child(child: Child | Iterable[Child]) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(_printable(child))
    return join(child)


def _attribute(key: str, value: object) -> str:
    if value is True:
        return f" {key}"
    text = _number(value) if isinstance(value, float) else str(value)
    return f' {key}="{html.escape(_printable(text))}"'


def _number(value: float) -> str:
    """A coordinate, no more exact than can be seen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _printable(text: str) -> str:
    """The text without what HTML does not allow: names of files can hold any byte."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\ufffd" for character in shown
    )
