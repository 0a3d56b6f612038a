"""A page about a result, as HTML."""

import json
from collections.abc import Iterable
from dataclasses import fields
from importlib.resources import files
from typing import Any

from .. import __version__
from ..addresses import redact_urls
from ..locate.render import DIGITS, MOST_ITEMS, summaries
from ..results.coordinates import Coordinates
from .chart import draw_chart
from .content import Metric, PageContent
from .drawing import draw_pipeline
from .elements import Child, Markup, element, join, path_text
from .file import BEGINNING
from .images import Figure
from .plots import Confusion

QUESTIONS = {
    "data": "which snapshot of the data?",
    "code": "which source?",
    "params": "which configuration?",
    "environment": "which interpreter, which packages?",
    "execution": "which run, which outputs?",
}
# Characters of several items in one line.
WIDEST_LINE = 60
# Nothing is loaded from anywhere, whatever a name or a figure holds.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def to_html(content: PageContent) -> str:
    """The page, as one file that loads nothing."""
    sections = [
        _header(content),
        _figures(content),
        _coordinates(content),
        _pipeline(content),
        _params(content),
        _metrics(content),
        _curves(content),
        _rebuilding(content),
        _citing(content),
        element(
            "footer", f"Written by locatable {__version__}. The digests are equal wherever the coordinate is."
        ),
    ]
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", content.title),
            element("style", Markup(style)),
        ),
        element("body", element("main", sections)),
        lang="en",
    )
    return redact_urls(f"{BEGINNING}\n{page}\n")


def _section(title: str, *children: Child | Iterable[Child], class_: str | None = None) -> Markup:
    return element("section", element("h2", title), *children, class_=class_)


def _header(content: PageContent) -> Markup:
    report = content.report
    facts: dict[str, Child] = {}
    if report.roles:
        roles = [element("div", path_text(path), f" ({role})") for path, role in report.roles.items()]
        facts["Result"] = join(roles)
    if content.found_by:
        facts["Found by"] = content.found_by
    if content.citation:
        facts["Project"] = content.citation.title
        if content.citation.url.startswith(("http://", "https://")):
            facts["Repository"] = element("a", content.citation.url, href=content.citation.url)
    if report.experiment:
        facts["Experiment"] = f"{report.experiment.name}, on {report.experiment.baseline[:DIGITS]}"
    facts["Commit"] = element("code", report.rev)
    facts["Committed"] = f"{content.time:%Y-%m-%d %H:%M} UTC by {content.author or 'nobody named'}"
    if report.results_of:
        facts["Results of"] = element("code", report.results_of)
    warnings = [element("p", warning, class_="warning") for warning in content.warnings]
    pairs = [[element("dt", name), element("dd", value)] for name, value in facts.items()]
    return element("header", element("h1", content.title), element("dl", *pairs), warnings)


def _figures(content: PageContent) -> Markup | None:
    remarks = []
    if content.more_figures:
        remarks.append(f"and {content.more_figures} more figures")
    if content.missing:
        shown = ", ".join(content.missing[:MOST_ITEMS])
        more = f" and {len(content.missing) - MOST_ITEMS} more" if len(content.missing) > MOST_ITEMS else ""
        remarks.append(f"not on the machine that wrote this page: {shown}{more}")
    if not content.figures and not remarks:
        return None
    drawn = [_figure(one, len(content.figures) == 1) for one in content.figures]
    title = "Figure" if len(content.figures) == 1 else "Figures"
    notes = [element("p", remark, class_="remark") for remark in remarks]
    return _section(title, element("div", drawn, class_="figures"), notes)


def _figure(figure: Figure, is_only: bool) -> Markup:
    if not figure.uri:
        return element(
            "p", f"{figure.path}: {figure.size / 1e6:.1f} MB, too large for a page", class_="remark"
        )
    image = element("img", src=figure.uri, alt=figure.path)
    return element(
        "figure", image, element("figcaption", path_text(figure.path)), class_="only" if is_only else None
    )


def _coordinates(content: PageContent) -> Markup:
    report = content.report
    rows = []
    for coordinate in fields(Coordinates):
        name = coordinate.name
        digest = getattr(report.coordinates, name).digest
        shown: list[Child] = [element("div", line) for line in _lines(summaries(report)[name])]
        if name in report.uncommitted:
            shown.append(element("div", element("strong", "not committed")))
        head = element("th", name, element("small", QUESTIONS[name]), scope="row")
        rows.append(element("tr", head, element("td", element("code", digest)), element("td", shown)))
    return _section("Where it comes from", _table(["coordinate", "digest", "what"], rows, "coordinates"))


def _lines(items: list[str]) -> list[str]:
    """The first items, in one line where they are short."""
    shown = items[:MOST_ITEMS]
    if len(items) > MOST_ITEMS:
        shown.append(f"and {len(items) - MOST_ITEMS} more")
    line = ", ".join(shown)
    return [line] if len(line) <= WIDEST_LINE else shown


def _table(heads: list[str], rows: list[Markup], class_: str) -> Markup:
    head = element("thead", element("tr", [element("th", name, scope="col") for name in heads]))
    return element("div", element("table", head, element("tbody", rows), class_=class_), class_="wide")


def _pipeline(content: PageContent) -> Markup | None:
    graph = content.graph
    if not graph.nodes:
        return None
    picture = draw_pipeline(graph)
    made = [node.name for node in graph.nodes.values() if node.made_target and not node.is_data]
    if picture is None:
        note = f"{len(graph.nodes)} stages and sources, too many to draw."
        return _section(
            "Pipeline", element("p", note), element("p", f"Made by: {', '.join(made)}") if made else None
        )
    remark = element("p", "Lit: what made this result.", class_="remark") if made else None
    return _section("Pipeline", element("div", picture, class_="wide"), remark)


def _params(content: PageContent) -> Markup | None:
    if not content.params and not content.report.params_changed:
        return None
    changed = content.report.params_changed
    parts: list[Child] = []
    if changed:
        rows = [_row(key, _shown(before), _shown(after)) for key, (before, after) in changed.items()]
        parts.append(_table(["param", f"baseline {_baseline(content)}", "this result"], rows, "values"))
    elif content.baseline:
        parts.append(element("p", f"All as in the baseline, {_baseline(content)}."))
    rows = [_row(key, _shown(value)) for key, value in content.params.items()]
    listed = _table(["param", "value"], rows, "values")
    # What is closed is not printed.
    is_open = None if changed else True
    parts.append(element("details", element("summary", f"All {len(rows)} values"), listed, open=is_open))
    return _section("Params that differ from the baseline" if changed else "Params", parts)


def _baseline(content: PageContent) -> str:
    return content.baseline[:7] if content.baseline else ""


def _row(name: str, *cells: Child) -> Markup:
    return element("tr", element("th", name, scope="row"), [element("td", cell) for cell in cells])


def _shown(value: Any) -> str:
    """A value as files of params write it."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _rounded(value: Any) -> Child:
    """A number that can be read, with all its digits for who points at it; nothing where there is none."""
    if not isinstance(value, float):
        return "" if value is None else _shown(value)
    return element("span", f"{value:.6g}", title=repr(value))


def _metrics(content: PageContent) -> Markup | None:
    if not content.metrics:
        return None
    heads = ["metric", "this result"]
    if content.baseline:
        heads += [f"baseline {_baseline(content)}", "difference"]
    rows = []
    file = ""
    for metric in content.metrics:
        path, _, dotted = metric.key.rpartition(":")
        if path != file:
            file = path
            rows.append(
                element("tr", element("th", path, colspan=len(heads), scope="rowgroup"), class_="file")
            )
        cells: list[Child] = [_rounded(metric.value)]
        if content.baseline:
            cells += [_rounded(metric.before), _difference(metric)]
        rows.append(_row(dotted, *cells))
    return _section("Metrics", _table(heads, rows, "values numbers"))


def _difference(metric: Metric) -> str:
    numbers = [value for value in (metric.value, metric.before) if isinstance(value, int | float)]
    if len(numbers) < 2 or isinstance(metric.value, bool):
        return ""
    difference = numbers[0] - numbers[1]
    return f"{difference:+.3g}".replace("-", "−") if difference else "0"


def _curves(content: PageContent) -> Markup | None:
    found = content.drawings
    drawn: list[Child] = [draw_chart(chart, _baseline(content)) for chart in found.charts]
    drawn += [_confusion(table) for table in found.confusions]
    remarks = [
        element("p", f"not drawn: {name}: {why}", class_="remark") for name, why in found.undrawn.items()
    ]
    if not drawn and not remarks:
        return None
    return _section("Curves", element("div", drawn, class_="plots"), remarks)


def _confusion(table: Confusion) -> Markup:
    """Counts of pairs of classes, darker where there are more."""
    most = max(table.counts.values(), default=1)
    rows = []
    for actual in table.classes:
        cells = []
        for predicted in table.classes:
            count = table.counts.get((actual, predicted), 0)
            cells.append(element("td", str(count), style=f"--share: {count / most:.2f}"))
        rows.append(element("tr", element("th", actual, scope="row"), cells))
    heads = [f"{table.y_label} ╲ {table.x_label}", *table.classes]
    return element(
        "figure", element("figcaption", table.title), _table(heads, rows, "confusion"), class_="plot"
    )


def _rebuilding(content: PageContent) -> Markup | None:
    if content.citation is None:
        return None
    commands = element("pre", element("code", "\n".join(content.citation.commands)))
    proof = element(
        "p",
        "With a clone, ",
        element("code", f"locatable reproduce {(content.report.results_of or content.report.rev)[:DIGITS]}"),
        " does so, and compares every output with what is recorded.",
        class_="remark",
    )
    return _section("Rebuild it", commands, proof)


def _citing(content: PageContent) -> Markup | None:
    if content.citation is None:
        return None
    entry = element("pre", element("code", content.citation.bibtex), class_="wrapped")
    return _section("Cite it", element("p", content.citation.paragraph, class_="citation"), entry)
