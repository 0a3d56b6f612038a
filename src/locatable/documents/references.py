r"""Find the references to pictures in a text of any markup, and remove text that its readers do not see.

Each kind of reference has a function. All of them search every text, because markups are mixed: there is HTML
in Markdown, Markdown in notebooks, and LaTeX in both. A reference by markup that shows a picture counts even
if the picture does not exist. Any other words count only if they are the path of a picture.

Texts are untrusted, so everything takes linear time in their length: a pattern that could fail far from its
beginning is bounded, or stops where another match could begin. `html.parser` is not used because it takes
quadratic time for tags without an end.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from operator import attrgetter

from . import PICTURES

# The most characters before a picture's extension that are searched for the beginning of its path.
_LONGEST_PATH = 300
# The most links that one HTML `picture` element can have.
_MOST_FORMATS = 40

# The extensions that pdfTeX and XeTeX try for a name without one, in their order.
TEX_ENDINGS = ("", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".PDF", ".PNG", ".JPG", ".JPEG", ".eps")


@dataclass(frozen=True)
class Mention:
    """A place in a text that refers to a picture.

    Attributes:
        start: offset of its first character.
        end: offset after its last character. No other mention begins before it.
        links: links to the same picture in several formats, or several readings of the same words, of which
            at most one is a path. Empty for an inline drawing, and for markup that only links to a picture.
        drawing: the source of an inline SVG.
        is_certain: true if the markup shows a picture, even if there is no such file.
        endings: extensions that the links may lack.
    """

    start: int
    end: int
    links: tuple[str, ...] = ()
    drawing: str = ""
    is_certain: bool = True
    endings: tuple[str, ...] = ("",)


# Patterns of comments and of code that is shown as code, by markup. Pictures that they name are not shown.

_TEX = (
    r"%[^\n]*",
    r"\\[\\%]",  # an escaped backslash or percent sign, which begins no comment
    r"\\begin\s*\{(?P<name>verbatim\*?|lstlisting|minted|comment|filecontents\*?)\}.*?(?:\\end\s*\{(?P=name)\}|\Z)",
    r"\\verb\*?(?P<tick>[^\w\s*])[^\n]{0,300}?(?P=tick)",  # \verb|code|
    r"\\iffalse\b.*?(?:\\fi\b|\Z)",
    r"\\end\s*\{document\}.*",
)
_HTML = (
    r"<!--.*?(?:-->|\Z)",
    r"<(?P<tag>script|textarea|title|code|pre)\b.*?(?:</(?P=tag)|\Z)",
)
_MARKDOWN = (
    r"^[ \t]*(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*).*?(?:^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    r"(?P<ticks>`{1,9})[^`\n](?:[^\n]{0,2000}?[^`\n])?(?P=ticks)(?!`)",  # `code`
    r"\{/\*.*?(?:\*/|\Z)",  # {/* a comment of MDX */}
    *_HTML,
)
_HIDDEN_PATTERNS = {
    "tex": _TEX,
    "html": _HTML,
    "markdown": _MARKDOWN,
    ".org": (
        r"^[ \t]*\#\+begin_(?P<block>src|example|comment)\b.*?(?:^[ \t]*\#\+end_(?P=block)|\Z)",
        r"^[ \t]*\#[ ][^\n]*",
    ),
    ".typ": (*_MARKDOWN, r"(?<!:)//[^\n]*", r"/\*.*?(?:\*/|\Z)"),
    ".adoc": (*_MARKDOWN, r"^//[^\n]*", r"^(?P<line>-{4,}|\.{4,})[ ]*$.*?(?:^(?P=line)[ ]*$|\Z)"),
    ".rst": (
        *_MARKDOWN,
        # Code and comments, each with the indented lines below it. A comment begins with two dots, as a
        # directive does.
        r"^(?P<indent>[ ]*)\.\."
        r"(?:[ ](?:(?:code|code-block|sourcecode|parsed-literal)::|(?![\w-]+::|[|_\[]))[^\n]*"
        r"(?:\n[ \t]*$|\n(?P=indent)[ \t]+[^\n]*)*+|(?:\n(?P=indent)[ \t]+[^\n]*)++)",
    ),
}
_MARKUPS = {
    **dict.fromkeys((".tex", ".ltx", ".latex", ".rnw", ".sty", ".cls"), "tex"),
    **dict.fromkeys((".md", ".markdown", ".qmd", ".rmd", ".mdx"), "markdown"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), "html"),
    ".asciidoc": ".adoc",
}
# Fenced blocks that are not shown as code: directives such as ```{figure}, and code cells that are executed.
_DIRECTIVE = re.compile(r"\s*\{(?!code)(?:=|[a-z])", re.IGNORECASE)
_EXECUTED = re.compile(r"\s*\{(?:r|python|julia)\b", re.IGNORECASE)
# Lines of executed code that show no picture: comments, except for options of the cell, and calls that write
# a picture.
_NO_PICTURE = re.compile(r"^\s*#(?!\|).*|^.*(?:save|\b(?:png|pdf|svg|jpeg|tiff)\().*", re.MULTILINE)


def visible(text: str, suffix: str) -> str:
    """Return a text without its comments and the code that it shows; lines keep their numbers.

    Args:
        text: the text.
        suffix: the file's extension, which determines the markup. For an unknown one, the text itself does.
    """
    markup = _MARKUPS.get(suffix.lower(), suffix.lower())
    if markup not in _HIDDEN_PATTERNS:
        if "\\documentclass" in text or "\\begin{" in text:
            markup = "tex"
        elif text[:200].lstrip().startswith("<"):
            markup = "html"
        else:
            markup = "markdown"
    pattern = re.compile("|".join(_HIDDEN_PATTERNS[markup]), re.DOTALL | re.MULTILINE | re.IGNORECASE)
    return pattern.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    """Return the replacement of a match: its line breaks, or its text if it is visible after all."""
    if match[0] in ("\\\\", "\\%"):
        return match[0]
    info = match.groupdict().get("info") or ""
    if _EXECUTED.match(info):
        return _NO_PICTURE.sub("", match[0])
    if _DIRECTIVE.match(info):
        return match[0]
    return "\n" * match[0].count("\n")


def mentions_in(text: str) -> Iterator[Mention]:
    """Yield the references to pictures in a text, in order. If references overlap, only the first counts."""
    kinds = (_drawings, _pictures, _elements, _links, _commands, _embeds, _images, _directives, _data, _words)
    end = 0
    for mention in heapq.merge(*(find(text) for find in kinds), key=attrgetter("start")):
        if mention.start >= end:
            end = mention.end
            yield mention


# HTML

_SVG = re.compile(r"<(/?)svg\b[^>]*>?", re.IGNORECASE)
_PICTURE = re.compile(r"<picture\b.*?(?:</picture|\Z)", re.DOTALL | re.IGNORECASE)
_ELEMENT = re.compile(
    r"<(?P<tag>img|image|source|input|embed|iframe|object)\b"
    r"(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*+)>?",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"(?<![\w:.-])(?P<name>[\w:.-]++)\s*+=\s*+"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]++))"
)
_SOURCE_ATTRIBUTES = ("src", "data-src", "href", "xlink:href", "data")
# The separator of the pictures in a srcset such as "a.png 480w, b.png 2x".
_SRCSET_SEPARATOR = re.compile(r"(?:\s+[\d.]+[wx])?\s*(?:,\s+|\Z)")
# Elements that show nothing but pictures. Other elements show one if their link has a picture's extension.
_ONLY_PICTURES = ("img", "image", "source")


def _drawings(text: str) -> Iterator[Mention]:
    """Yield the outermost SVG elements."""
    depth = 0
    start = 0
    for match in _SVG.finditer(text):
        if match[1]:
            if depth == 1:
                yield Mention(start, match.end(), drawing=text[start : match.end()])
            depth = max(0, depth - 1)
        elif not match[0].endswith("/>"):
            if depth == 0:
                start = match.start()
            depth += 1


def _pictures(text: str) -> Iterator[Mention]:
    """Yield the `picture` elements. Each shows one picture, in the formats that its child elements name."""
    for match in _PICTURE.finditer(text):
        links: list[str] = []
        for element in _ELEMENT.finditer(match[0]):
            links += _links_of(element)
            if len(links) >= _MOST_FORMATS:
                break
        if links:
            yield Mention(*match.span(), links=tuple(links[:_MOST_FORMATS]))


def _elements(text: str) -> Iterator[Mention]:
    """Yield the elements that show a picture. A `source` outside of a `picture` belongs to a video."""
    for match in _ELEMENT.finditer(text):
        links = _links_of(match)
        if links and match["tag"].lower() != "source":
            yield Mention(*match.span(), links=tuple(links))


def _links_of(element: re.Match[str]) -> list[str]:
    """Return the links to the picture that an element shows, one for each of its formats and sizes."""
    tag = element["tag"].lower()
    attributes: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(element["attributes"]):
        value = match["double"] or match["single"] or match["bare"] or ""
        attributes.setdefault(match["name"].lower(), unescape(value).strip())
    links = [attributes.get(name, "") for name in _SOURCE_ATTRIBUTES]
    links += _SRCSET_SEPARATOR.split(attributes.get("srcset", ""))
    # A link that begins with a brace is an expression or a template, not a path.
    links = [link for link in links if link and not link.startswith("{")]
    if tag not in _ONLY_PICTURES:
        links = [link for link in links if _names_picture(link)]
    return list(dict.fromkeys(links))


def _names_picture(link: str) -> bool:
    """Return true for a `data:` URI of a picture, and for a link with a picture's extension or `.pdf`."""
    path = link.partition("?")[0].lower()
    return link.startswith("data:image/") or path.endswith((*PICTURES, ".pdf"))


_LINK = re.compile(r"<a\b[^>]{0,2000}|^ {0,3}\[(?!\^)[^]\n]{1,300}\]:\s*+\S+", re.IGNORECASE | re.MULTILINE)


def _links(text: str) -> Iterator[Mention]:
    """Yield links, which show no picture themselves: <a href="a.png">, [name]: a.png."""
    for match in _LINK.finditer(text):
        yield Mention(*match.span())


# TeX

# A group in braces, which can contain groups up to five levels deep.
_GROUP = r"\{(?:[^{}\\]++|\\.)*+\}"
for _ in range(5):
    _GROUP = rf"\{{(?:[^{{}}\\]++|\\.|{_GROUP})*+\}}"
ARGUMENT = re.compile(rf"\s*+({_GROUP})", re.DOTALL)
# An option of a command: a star, an overlay of beamer, or brackets: \includegraphics*<1->[width={3cm}]
OPTION = re.compile(
    rf"\s*+(?:\*|<[^<>\n]{{0,99}}>|\[((?:[^][{{}}\\]++|\\.|{_GROUP}|\[[^][]*+\])*+)\])", re.DOTALL
)
_COMMAND = re.compile(r"\\(begin\s*\{\s*overpic\*?\s*\}|[A-Za-z@]+)")
_PICTURE_COMMAND = re.compile(
    r"\w*graphics|includesvg|includepdf|pgfimage|pgfdeclareimage|plotone|plottwo|adjustimage|epsfbox|begin.+"
)
# The positions of the arguments that name a picture, for commands where this is not just the first argument.
_NAME_ARGUMENTS = {"plottwo": (0, 1), "adjustimage": (1,), "pgfdeclareimage": (1,)}
# Unknown commands, for example of a journal's class, that may show a picture: \journalfigure{name}{Caption}
_POSSIBLE_PICTURE_COMMAND = re.compile(
    r"(?!.*(?:ref|label|cite|caption)).*(?:fig|plot|image|img|pic|photo)", re.IGNORECASE
)
# A name without an extension. Names with one are found as words.
_NAME = re.compile(r"[^{}\\#\n.]{1,300}")
_AROUND_NAMES = re.compile(r"\\(?:detokenize|subfix|string)\b|[{}\"]")


def shows_picture(command: str) -> bool:
    """Return true if a TeX command, given without its backslash, shows a picture."""
    return _PICTURE_COMMAND.fullmatch(command) is not None


def _commands(text: str) -> Iterator[Mention]:
    r"""Yield the pictures that commands show, or may show, such as `\includegraphics[width=3cm]{a}`."""
    for match in _COMMAND.finditer(text):
        command = match[1]
        if shows_picture(command):
            arguments = _arguments(text, match.end())
            start = match.start()
            for number in _NAME_ARGUMENTS.get(command, (0,)):
                if number < len(arguments):
                    name = _AROUND_NAMES.sub("", arguments[number][1]).strip()
                    end = arguments[number].end()
                    yield Mention(start, end, (name,), endings=TEX_ENDINGS)
                    start = end
        elif _POSSIBLE_PICTURE_COMMAND.match(command):
            for argument in _arguments(text, match.end()):
                name = argument[1][1:-1].strip()
                if _NAME.fullmatch(name):
                    # The mention is empty, so that references inside the arguments are found too.
                    start = match.start()
                    yield Mention(start, start, (name,), is_certain=False, endings=TEX_ENDINGS)


def _arguments(text: str, position: int) -> list[re.Match[str]]:
    """Return the first three arguments in braces of a command, without its options."""
    arguments: list[re.Match[str]] = []
    while len(arguments) < 3:
        option = OPTION.match(text, position)
        argument = option or ARGUMENT.match(text, position)
        if argument is None:
            break
        position = argument.end()
        if not option:
            arguments.append(argument)
    return arguments


# Markdown and similar markups

_EMBED = re.compile(r"!\[\[([^]|\n#]{1,300})")
# Obsidian finds a picture by its name alone. These are the folders where its vaults usually keep pictures.
_FOLDERS = ("attachments/", "assets/", "images/", "files/")
_VAULT = ("", *_FOLDERS, *(f"/{folder}" for folder in _FOLDERS))
# An image of Markdown. Its description can contain brackets, and its link parentheses.
_IMAGE = re.compile(
    r"!\[(?P<text>(?:[^][\\]|\\.|\[[^][]*\])*+)\]"
    r"(?:\(\s*+(?:<(?P<angled>[^<>\n]*)>|(?P<plain>[^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?=[\s)])"
    r"|\[(?P<name>[^]\n]{0,300})\])?",
    re.DOTALL,
)
_NAMED_LINK = re.compile(r"^ {0,3}\[(?P<name>[^]\n]{1,300})\]:\s*+<?(?P<link>[^\s>]+)", re.MULTILINE)
_ENDINGS = "|".join(ending[1:] for ending in (*PICTURES, ".pdf"))
_DIRECTIVES = re.compile(
    "|".join(
        (
            r"\b(?:image|figure)::[ \t]*([^\n\[]{1,300})",  # .. figure:: a.png, image::a.png[Title]
            r"(?:```|:::)\{(?:image|figure)\}[ \t]*([^\n\[]{1,300})",  # ```{figure} a.png
            r"\bimage:([^\s\[:]{1,300})\[",  # image:a.png[Title] in a line
            rf"(?:image|graphics)\(\s*[\"']([^\"'\n]{{1,300}}\.(?:{_ENDINGS}))[\"']",  # image("a.png")
            rf"\bfigure\s+src=[\"']([^\"'\n]{{1,300}}\.(?:{_ENDINGS}))[\"']",  # {{< figure src="a.png" >}}
        )
    ),
    re.IGNORECASE,
)


def _embeds(text: str) -> Iterator[Mention]:
    """Yield the pictures that Obsidian embeds, such as `![[a.png|300]]`."""
    for match in _EMBED.finditer(text):
        yield Mention(*match.span(), links=tuple(folder + match[1] for folder in _VAULT))


def _images(text: str) -> Iterator[Mention]:
    """Yield the images of Markdown: ![text](a.png), and ![text][name], whose link is defined elsewhere."""
    links = {match["name"].lower(): match["link"] for match in _NAMED_LINK.finditer(text)}
    for match in _IMAGE.finditer(text):
        link = match["angled"] or match["plain"]
        if link is None:
            link = links.get((match["name"] or match["text"]).lower(), "")
        if link.strip():
            yield Mention(*match.span(), links=(link.strip(),))


def _directives(text: str) -> Iterator[Mention]:
    """Yield the pictures of directives and calls in reStructuredText, MyST, AsciiDoc, Typst, R and Hugo."""
    for match in _DIRECTIVES.finditer(text):
        link = match[match.lastindex or 0].strip().strip("\"'")
        endings = TEX_ENDINGS if link.endswith(".*") else ("",)
        if link:
            yield Mention(*match.span(), links=(link.removesuffix(".*"),), endings=endings)


# Any text

# A data: URI extends to the closing quote or parenthesis if it is enclosed, otherwise to the end of the word.
_DATA = re.compile(
    r"(?<=\")data:image/[^\"]*|(?<=')data:image/[^']*|(?<=\()data:image/[^)]*|data:image/[^\s\"'<>()]*",
    re.IGNORECASE,
)
_ENDING = re.compile(rf"\.(?:{'|'.join(ending[1:] for ending in PICTURES)})(?!\w|[.-]\w)", re.IGNORECASE)
# Characters that do not belong to a path. A space may, so a path is tried both with and without its spaces.
_NOT_IN_PATHS = re.compile(r"[\"'`<>(){}\[\]|,;=*\n\t]")


def _data(text: str) -> Iterator[Mention]:
    """Yield the `data:` URIs of pictures."""
    for match in _DATA.finditer(text):
        yield Mention(*match.span(), links=(match[0],))


def _words(text: str) -> Iterator[Mention]:
    """Yield the words that end with a picture's extension, and may be a path.

    Words that end with `.pdf` are left out, because in a text they are usually a link.
    """
    previous_end = 0
    for match in _ENDING.finditer(text):
        start = max(previous_end, match.start() - _LONGEST_PATH)
        previous_end = match.end()
        path = _NOT_IN_PATHS.split(text[start : match.end()])[-1]
        yield Mention(*match.span(), links=(path.strip(), path.split()[-1]), is_certain=False)
