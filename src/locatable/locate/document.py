"""Where the figures and numbers of a document come from.

A number counts where it has three significant digits, or two and a power of ten. All are compared with one
result.

A number is of another result only where that result's value of a metric prints so, the value of the compared
result does not, and the manuscript names the metric: right before the number, as the subject of what is said
of it, right after it, or in the heads of its row and column. Where the sentence or table also has the
compared result's value, cites others' work, or names a param in which both results differ, it is meant
to be another one. What equals some result's metric without such words is equal by chance.
"""

import math
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..documents import (
    Figure,
    bounded_reading,
    instead_of,
    is_manuscript,
    is_picture,
)
from ..documents.passages import CITED, Passage, has_passages, read_passages
from ..errors import NotFoundError, UnreadableError
from ..model import Experiment, same_value
from ..repository.reader import Reader, revisions_named
from ..repository.snapshot import Snapshot
from ..results.values import NamedValue, ValueKind, values_of
from .by_content import Commits
from .by_value import NUMBER, QuotedNumber, loaded, number_in, parse_quoted
from .figure_match import Verdict, compared
from .known_figures import KnownFigures
from .result import (
    ComparedNumbers,
    Located,
    LocatedFigure,
    LocatedNumber,
    Match,
    Result,
    hints,
    identity,
    shortened,
)

# Figures of a document that are looked at.
MOST_FIGURES = 2_000
FETCHED = "which are not in this machine's DVC cache; `dvc fetch --all-commits` gets them"


def locate_document(reader: Reader, target: str, rev: str | None = None) -> Located:
    """Find the results that the figures and numbers of a document come from.

    Args:
        reader: of the repository.
        target: path of the document.
        rev: the result that its numbers are compared with; None for that of its figures.

    Raises:
        UnreadableError: the document is broken, encrypted, or of a format that is not read.
        NotFoundError: it has no figures, and no number that is a result's; or there is no such revision.
    """
    path = Path(target)
    if instead_of(path):
        raise UnreadableError(f"{target}: {path.suffix} is not read", hint=f"save it as {instead_of(path)}")
    figures: list[LocatedFigure] = []
    left_out: list[str] = []
    start = time.process_time()
    if is_manuscript(path) or is_picture(path):
        figures, left_out = _locate_figures(reader, path)
    unread: list[str] = []
    numbers = ComparedNumbers()
    if has_passages(path):
        try:
            with bounded_reading(target, time.process_time() - start):
                units = _read_units(path)
            numbers = locate_numbers(reader, units, figures, rev, unread)
        except UnreadableError as error:
            if not figures:
                raise
            unread.append(f"numbers: {error}")
    traced = [figure for figure in figures if figure.is_traced]
    of_result = any(number.key for number in numbers.numbers)
    if not figures and not of_result:
        also = f", and none of its {len(numbers.numbers)} numbers is a result's" if numbers.numbers else ""
        raise NotFoundError(f"{target}: no figures in it{also}", hint="; ".join(hints(unread)))
    named = {identity(one.results[0]): one.results[0] for one in traced}
    if numbers.result and (rev or not traced):
        named.setdefault(identity(numbers.result), numbers.result)
    if numbers.result:
        figures = _compared_figures(figures, numbers.result)
    return Located(list(named.values()), [*left_out, *shortened(unread)], figures=figures, numbers=numbers)


def _compared_figures(figures: list[LocatedFigure], compared: Result) -> list[LocatedFigure]:
    """Return figures, with a note on each that the compared result has otherwise at its path.

    Where the compared result's own figure of that path is in the document, too, the others are beside it.
    """
    shown: set[str] = set()
    for figure in figures:
        for result in figure.results:
            if result.rev == compared.rev:
                shown.update(result.roles)
    noted = []
    for figure in figures:
        paths = figure.results[0].roles if figure.is_traced else {}
        is_of_it = any(result.rev == compared.rev for result in figure.results)
        if not is_of_it:
            for path in paths:
                if path not in shown and (
                    path in compared.snapshot.tracked or compared.snapshot.in_git(path)
                ):
                    figure = replace(figure, instead=path)
        noted.append(figure)
    return noted


def _locate_figures(reader: Reader, path: Path) -> tuple[list[LocatedFigure], list[str]]:
    """Return the figures of a document, and what may have kept some from being found."""
    known = KnownFigures(reader)
    figures: list[LocatedFigure] = []
    try:
        with bounded_reading(str(path)):
            if not is_picture(path):
                known.leave_out(path)
            for figure, verdict in compared(known, path, (reader.top, reader.cache)):
                if len(figures) == MOST_FIGURES:
                    raise UnreadableError(f"more than {MOST_FIGURES:,} figures are not looked at")
                figures.append(_located(known, figure, verdict))
    except UnreadableError as error:
        if not figures:
            raise
        figures.append(LocatedFigure("the rest", "", Match.NONE, reason=error.message))
    left_out = known.left_out
    if not all(figure.is_traced for figure in figures):
        left_out = [*left_out, *_unread(known), *reader.limits()]
    return figures, left_out


def _located(known: KnownFigures, figure: Figure, verdict: Verdict) -> LocatedFigure:
    for path in figure.missing:
        results = known.results_recorded(path)
        if results:
            reason = "the file is not here"
            return LocatedFigure(figure.place, figure.name, Match.RECORDED, results, reason=reason)
    others: list[Result] = []
    for group in verdict.others:
        others += known.results(group)[:1]
    results = known.results(verdict.keys)
    return LocatedFigure(
        figure.place, figure.name, verdict.match, results, others, verdict.closer, verdict.reason
    )


def _unread(known: KnownFigures) -> list[str]:
    """Return lines about figures that cannot be compared, since this machine does not have them."""
    lines = []
    kinds = Counter(key.partition(":")[0] for key in known.missing)
    in_git, in_cache = kinds["git"], kinds["md5"]
    if known.unlisted:
        lines.append(f"lists of tracked folders, such as {min(known.unlisted)}, {FETCHED}")
    if in_cache:
        lines.append(f"figures, {in_cache} of them, {FETCHED}")
    if in_git:
        lines.append(
            f"figures, {in_git} of them, which this clone does not have; `git lfs fetch --all` may get them"
        )
    return lines


# Numbers of a document that are looked at: with more, it is data.
MOST_NUMBERS = 5_000
# Significant digits that a number needs, and one with a power of ten.
FEWEST_DIGITS = 3
FEWEST_WITH_POWER = 2
# Characters of a sentence that are shown before and after a number.
BEFORE, AFTER = 44, 20

# Digits that are no measured number; they are blanked before numbers are looked for.
_NO_NUMBER = re.compile(
    r"https?://\S+|www\.\S+|\S{1,80}@\S{1,80}\.\w+"
    r"|\b10\.\d{4,9}/\S+|\barxiv:?\s*\S+|\b(?:doi|isbn|issn|orcid)\b:?\s*[\d\w./-]+"
    r"|\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b\d{1,2}:\d{2}(?::\d{2})?\b"
    r"|\bv?\d+\.\d+\.\d+[\w.+-]*|\bv\d[\w.]*|\b(?:version|release|python|pytorch|numpy|cuda)\s+v?\d[\w.]*"
    r"|\+\d[\d\s()/-]{6,20}\d|\b\d{3}[-.\s]\d{3}[-.\s]\d{4}\b|\b0\d{1,5}[/\s-]\d[\d\s-]{4,12}"
    r"|(?:\b(?:fig(?:ures?|s?\.)|tab(?:les?|s?\.)|sec(?:tions?|s?\.)|eqn?s?\.|equations?|chap(?:ters?|\.)|appendix|"
    r"algorithm|theorem|lemma|listing|lines?|pages?|pp?\.|vol(?:ume|\.)|nos?\.|issue|grant|refs?\.)|[§#])"
    r"\s*\(?[A-Z]?\d[\d.]*\)?(?:\s*(?:[-–,]|and|to)\s*\(?\d{1,4}(?:\.\d{1,2})?\)?(?![\d.%]))*",
    re.IGNORECASE,
)
_AUTHOR = r"[A-Z][\w'-]+"
_AND_AUTHOR = rf",? (?:and|&) {_AUTHOR}"
_CITED = re.compile(
    rf"{re.escape(CITED)}|\[\?\]|\[\d{{1,4}}(?:\s*[,;–-]\s*\d{{1,4}})*\]|\bet al\b\.?"
    rf"|{_AUTHOR}(?:{_AND_AUTHOR},? \(?| \()(?:19|20)\d\d[a-z]?\)?"
    rf"|\({_AUTHOR}(?:{_AND_AUTHOR})?,? (?:19|20)\d\d[a-z]?\)"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
# Not a part of a word, a path or a longer number.
_FOUND = re.compile(rf"(?<![\w@#\\^])(?<![A-Za-z]-)(?<!\d[.,:])(?![-+]\s){NUMBER}(?![\w^]|[.,]\d)")
_MINUS = str.maketrans("−﹣－", "---")
_ABBREVIATED = "".join(
    rf"(?<!\b{word}\.)" for word in ("al", "cf", "vs", "ca", "e\\.g", "i\\.e", "resp", "approx")
)
_SENTENCE_END = re.compile(rf"(?<=[.!?]){_ABBREVIATED}\s+(?=[^a-z\s])")
# A longer sentence is none that a person wrote.
LONGEST_SENTENCE = 3_000
# Words that tell metrics of the same name apart, or say nothing of what is measured.
_QUALIFIERS = frozenset(
    "train valid test dev eval evaluate evaluation holdout mean std final best last first epoch fold cv "
    "split score value metric result report overall macro micro weighted total model".split()
)
_SPLITS = frozenset(("train", "valid", "test"))
# Words for the same thing.
_SAME = {
    "acc": "accuracy",
    "val": "valid",
    "validation": "valid",
    "training": "train",
    "testing": "test",
    "prec": "precision",
    "rec": "recall",
    "err": "error",
    "avg": "mean",
    "average": "mean",
}
# A sentence is read as by a chunk grammar: each word is of a kind, which has a letter, so that a pattern of
# kinds is a regular expression. "The accuracy reaches 0.951" is WMVN: M is the name of a metric, N a number,
# W any word that is of no other kind; Q tells metrics apart, and C is a citation. The others are:
_LETTERS = {
    # of: the name is right before it
    "L": "of to by from up between",
    "T": "at",
    "F": "in for on",
    # is: the name is the subject
    "V": "is was are were be been equals equal reaches reached reach achieves achieved achieve attains "
    "attained obtains obtained obtain gets got gives gave yields yielded has had have remains remained stays "
    "stayed drops dropped drop falls fell fall rises rose rise increases increased increase decreases "
    "decreased improves improved improve grows grew becomes became scores scored exceeds exceeded "
    "amounts comes stands lie lies lay :",
    "E": "= ≈ < > ≤ ≥",
    "A": "a an about approximately roughly nearly almost only around just over under above exactly as ~",
    "G": "and or & / versus vs",
    # what a name is not the subject of, or is but a part of
    "B": "when while where whereas whose if because since although though but that ; difference differences "
    "gap gain gains improvement threshold target change ratio margin variance interval sd se ci iqr df",
}
_LETTER_OF = {word: letter for letter, words in _LETTERS.items() for word in words.split()}
# Several names, and several numbers.
_NAMES = r"M(?:[GAQ,]*M)*"
_GROUP = r"(?P<group>N(?:[GLA(),±]*N)*)"
# What is between a subject and its verb; commas come in pairs.
_SUBJECT = r"(?:[^NBCG,]|,[^NBCG,]*,)*"
# "accuracy and AUC of 0.951 and 0.984"; "the accuracy on the test set is 0.951"
_NAME_FIRST = re.compile(rf"(?<!B[FL])(?P<names>{_NAMES}(?:[QLA(]*|{_SUBJECT}[VE][QLAT(]*)){_GROUP}")
# "0.951 accuracy", and not "a dropout of 0.5 for an accuracy of 0.951" or "p = 0.5 for accuracy"
_NAME_LAST = re.compile(
    rf"(?<![WB]L)(?<!E){_GROUP}\)?[FLAQ(]{{0,3}}(?P<names>{_NAMES})(?![QA(]*[LVE]?[A(]*N)"
)
_TOKEN = re.compile(
    rf"(?P<cited>{_CITED.pattern})|(?P<number>{_FOUND.pattern})|(?P<word>[^\W\d_][^\W_]*)|(?P<mark>[^\w\s-])"
)
# A name in a manuscript has at most so many words.
_LONGEST_NAME = 4


@lru_cache(10_000)
def _canonical(word: str) -> str:
    """Return what stands for a word and its other forms."""
    word = unicodedata.normalize("NFKC", word).casefold()
    if word.endswith("ies") and len(word) > 4:
        word = f"{word[:-3]}y"
    elif word.endswith("sses"):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return _SAME.get(word, word)


def _words_of_key(text: str) -> list[str]:
    """Return the words of a key: `valid.logLoss` and `valid/log_loss` have the same."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [_canonical(word) for word in re.findall(r"[^\W_]+", apart) if not word.isdigit()]


class Names:
    """What words can name the metrics of all results."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._qualifiers: dict[str, frozenset[str]] = {}
        # By words without blanks, the keys they can mean, and how many words of a key are missing.
        self._keys: dict[str, dict[str, int]] = {}
        for key in keys:
            self._add(key)

    def _add(self, key: str) -> None:
        path, _, dotted = key.rpartition(":")
        words = _words_of_key(dotted if path else Path(key).stem)
        telling = [word for word in words if word not in _QUALIFIERS]
        self._qualifiers[key] = frozenset([*words, *_words_of_key(path)]).difference(telling)
        names = {"".join(telling or words): 0}
        if len(telling) > 1:
            names[telling[-1]] = len(telling) - 1
        if len(words) > 2:
            names["".join(word[0] for word in words)] = 0
        for name, missing in names.items():
            if name:
                self._keys.setdefault(name, {}).setdefault(key, missing)

    def find(self, words: list[str]) -> Iterator[tuple[int, int, dict[str, int]]]:
        """Yield start and end of each name among words, the longest there, and the keys that it can mean.

        Args:
            words: in canonical form; an empty one is no word, and part of no name.
        """
        start = 0
        while start < len(words):
            length = self._length_at(words, start)
            if length:
                yield start, start + length, self._keys["".join(words[start : start + length])]
            start += max(1, length)

    def _length_at(self, words: list[str], start: int) -> int:
        for length in range(min(_LONGEST_NAME, len(words) - start), 0, -1):
            together = words[start : start + length]
            if all(together) and "".join(together) in self._keys:
                return length
        return 0

    def meant(self, keys: dict[str, int], around: frozenset[str]) -> frozenset[str]:
        """Return those of some keys that a name means best, beside other words: `test` is not `train`."""
        splits = around & _SPLITS
        best: tuple[int, int] | None = None
        meant: set[str] = set()
        for key, missing in keys.items():
            qualifiers = self._qualifiers[key]
            own = qualifiers & _SPLITS
            if own and splits and not own & splits:
                continue
            rank = -missing, len(qualifiers & around)
            if best is None or rank > best:
                best, meant = rank, set()
            if rank == best:
                meant.add(key)
        return frozenset(meant)


@dataclass(frozen=True)
class Written:
    """A number as a manuscript has it.

    Attributes:
        place: where it is.
        text: its characters.
        words: around it in its sentence; of a table, the heads of its row and column.
        number: that it stands for.
        slot: says which number of its sentence or table it is.
    """

    place: str
    text: str
    words: str
    number: QuotedNumber
    slot: tuple[int, int]


class Sentence:
    """A sentence, and the numbers in it; once `tied` was asked, `cited` has the slots of those of others."""

    def __init__(self, text: str, offset: int, passage: Passage) -> None:
        self.cited: set[tuple[int, int]] = set()
        self._tokens = list(_TOKEN.finditer(text))
        self._words: list[str] = []
        self.numbers: list[Written] = []
        for position, token in enumerate(self._tokens):
            self._words.append(_canonical(token["word"]) if token["word"] else "")
            number = _significant(token["number"] or "")
            if number:
                place = passage.place_at(offset + token.start())
                around = _words_around(passage.text[offset : offset + len(text)], token.start(), token.end())
                self.numbers.append(Written(place, _stripped(token["number"]), around, number, (position, 0)))
        figures = [_stripped(token["number"]) for token in self._tokens if token["number"]]
        self.around = frozenset([*filter(None, self._words), *figures])

    def tied(self, names: Names) -> dict[tuple[int, int], frozenset[str]]:
        """Return the metrics that the words name for each number, by its slot."""
        letters = [_letter(token) for token in self._tokens]
        keys_at: dict[int, frozenset[str]] = {}
        for start, end, keys in names.find(self._words):
            # A name of several words is one letter.
            letters[start:end] = ["M", *[""] * (end - start - 1)]
            keys_at[start] = names.meant(keys, self.around)
        positions = [position for position, letter in enumerate(letters) if letter]
        spelled = "".join(letters)
        for index, position in enumerate(positions):
            if spelled[index] in "NI" and _is_cited(spelled, index):
                self.cited.add((position, 0))
        tied: dict[tuple[int, int], frozenset[str]] = {}
        # First whole numbers are words, as in "on 114 samples it is 0.951"; then they are numbers.
        for code in (spelled.replace("I", "W"), spelled.replace("I", "N")):
            for match in [*_NAME_FIRST.finditer(code), *_NAME_LAST.finditer(code)]:
                meant: set[str] = set()
                for index in range(*match.span("names")):
                    meant |= keys_at.get(positions[index], frozenset())
                for index in range(*match.span("group")):
                    if code[index] == "N":
                        tied.setdefault((positions[index], 0), frozenset(meant))
        return tied


def _letter(token: re.Match[str]) -> str:
    """Return the letter for a token; none for marks that mean nothing here."""
    if token["cited"]:
        return "C"
    number = token["number"]
    if number:
        if _YEAR.fullmatch(_stripped(number)):
            return "W"
        return "N" if re.search(r"\D", _stripped(number)) else "I"
    if token["mark"]:
        mark = token["mark"]
        return mark if mark in ",()±" else _LETTER_OF.get(mark, "")
    word = token["word"].casefold()
    if len(word) == 1 and word != "a":
        return "B"  # a variable, as in "p < 0.001"
    letter = _LETTER_OF.get(word)
    return letter or ("Q" if _canonical(token["word"]) in _QUALIFIERS else "W")


def _is_cited(code: str, index: int) -> bool:
    """Return true where others' work is cited in the same part of a sentence: the number is theirs."""
    start = max(code.rfind(mark, 0, index) for mark in "B,")
    ends = [end for end in (code.find(mark, index) for mark in "B,") if end >= 0]
    return "C" in code[start + 1 : min(ends, default=len(code))]


class Table:
    """A table, whose first rows and first column say what its numbers are."""

    def __init__(self, passage: Passage) -> None:
        self._rows = [[_prepared(cell) for cell in row] for row in passage.rows or ()]
        self._caption = passage.text
        self.cited: set[tuple[int, int]] = set()
        self.numbers: list[Written] = []
        is_head = True
        self._heads: list[list[str]] = []
        words = f"{passage.text} "
        for row_number, row in enumerate(self._rows):
            # A row without a head begins with a number.
            first = 0 if _has_measured(row[0]) else 1
            if is_head and not any(map(_has_measured, row[first:])):
                self._heads.append(row)
                words += f"{' '.join(row)} "
                continue
            is_head = False
            words += f"{row[0]} "
            for column in range(first, len(row)):
                self._add_numbers(passage, row_number, column)
        self.around = frozenset(map(_canonical, re.findall(r"[^\W_]+(?:\.\d+)?", words)))

    def _add_numbers(self, passage: Passage, row_number: int, column: int) -> None:
        row = self._rows[row_number]
        head = self._head(row, column)
        for match in _FOUND.finditer(row[column]):
            text = _stripped(match[0])
            is_percent = "%" in head and "%" not in text
            number = _significant(f"{text}%" if is_percent else text)
            if number:
                beside = [row[0].strip()] if column else []
                words = " | ".join(filter(None, [*beside, head.strip()]))
                slot = row_number, column
                self.numbers.append(Written(passage.place_at(0), text, words[: BEFORE + AFTER], number, slot))

    def _head(self, row: list[str], column: int) -> str:
        """Return the heads of a column; of a table whose columns are not known apart, those of all."""
        parts = []
        for head in self._heads:
            parts.append(head[column] if len(head) == len(row) else " ".join(head))
        return " ".join(parts)

    def tied(self, names: Names) -> dict[tuple[int, int], frozenset[str]]:
        """Return the metrics that heads, or else the caption, name for each number, by its slot."""
        in_caption = _named(self._caption, names)
        tied = {}
        for written in self.numbers:
            row_number, column = written.slot
            row = self._rows[row_number]
            head = self._head(row, column)
            if _CITED.search(f"{row[0]} {head}"):
                self.cited.add(written.slot)
            in_head = _named(head, names)
            if len(self._heads) == 1 and len(self._heads[0]) != len(row) and len(in_head) == len(row) - 1:
                in_head = in_head[column - 1 : column]  # as many names as columns
            found = [*in_head, *_named(row[0], names)] or in_caption
            words = f"{row[0]} {head} {self._caption}"
            around = frozenset(map(_canonical, re.findall(r"[^\W_]+", words)))
            meant: set[str] = set()
            for keys in found:
                meant |= names.meant(keys, around)
            tied[written.slot] = frozenset(meant)
        return tied


def _named(text: str, names: Names) -> list[dict[str, int]]:
    """Return the keys that each name in a head or caption can mean."""
    words = [_canonical(word) if word[0].isalnum() else "" for word in re.findall(r"[^\W_]+|[^\w\s-]", text)]
    return [keys for _, _, keys in names.find(words)]


def _prepared(text: str) -> str:
    """Return a text of the same length without digits that are no measured number."""
    return _NO_NUMBER.sub(lambda match: " " * len(match[0]), text.translate(_MINUS))


def _stripped(text: str) -> str:
    return text.strip(" \u00a0\u2009\u202f\n\t$").rstrip(".,")


def _has_measured(text: str) -> bool:
    return any(_significant(match[0]) for match in _FOUND.finditer(text))


def _significant(text: str) -> QuotedNumber | None:
    """Return a number that has enough digits to say which result it is of, and is no year."""
    text = _stripped(text)
    quoted = None if _YEAR.fullmatch(text) else parse_quoted(text)
    if not quoted:
        return None
    digits = "".join(map(str, quoted.numbers[-1].as_tuple().digits))
    has_power = re.search(r"[eE×x*·^]", text) is not None
    if not has_power and "." not in text and _place_of_last_digit(quoted.numbers[-1]) == 0:
        digits = digits.rstrip("0")  # 1000 is a round number
    return quoted if len(digits) >= (FEWEST_WITH_POWER if has_power else FEWEST_DIGITS) else None


def _words_around(text: str, start: int, end: int) -> str:
    """Return a part of a sentence around a number, whole words of it."""
    first, last = max(0, start - BEFORE), min(len(text), end + AFTER)
    before = text[first:start]
    after = text[end:last]
    if first:
        before = f"… {before.partition(' ')[2]}"
    if last < len(text):
        after = f"{after.rpartition(' ')[0]} …"
    return " ".join(f"{before}{text[start:end]}{after}".split())


Unit = Sentence | Table


def _units(passages: Iterable[Passage]) -> Iterator[Unit]:
    for passage in passages:
        if passage.rows is not None:
            yield Table(passage)
            continue
        text = _prepared(passage.text)
        start = 0
        while start < len(text):
            end = _SENTENCE_END.search(text, start, start + LONGEST_SENTENCE)
            stop = end.end() if end else start + LONGEST_SENTENCE
            yield Sentence(text[start:stop], start, passage)
            start = stop


@dataclass
class _Candidate:
    """A revision, and the values of it that print as numbers of the manuscript, by the text of these."""

    snapshot: Snapshot
    experiment: Experiment | None
    position: int
    printed: dict[str, list[NamedValue]] = field(default_factory=dict)

    @property
    def age(self) -> tuple[int, int]:
        """More for older ones: of commits of the same second, Git lists newer ones first."""
        return -self.snapshot.time, self.position


class _PrintedNumbers:
    """The distinct numbers of a manuscript; tells quickly which of them a value prints as."""

    def __init__(self, written: Iterable[Written]) -> None:
        self._by_digits: dict[tuple[int, int], dict[str, QuotedNumber]] = {}
        self._known: dict[Any, list[str]] = {}
        for one in written:
            for number in one.number.numbers:
                place = _place_of_last_digit(number)
                whole = int(number.scaleb(-place))
                self._by_digits.setdefault((place, whole), {})[one.text] = one.number
        self._places = {place for place, _ in self._by_digits}

    def of(self, value: Any) -> list[str]:
        """Return the texts of the numbers that a value prints as."""
        real = number_in(value)
        if real is None or not math.isfinite(real):
            return []
        if real not in self._known:
            self._known[real] = self._texts(real)
        return self._known[real]

    def _texts(self, real: int | float) -> list[str]:
        exact = Decimal(real)
        texts: list[str] = []
        for place in self._places:
            if exact and abs(exact.adjusted() - place) > 30:  # far from all that has so few digits
                continue
            middle = int(exact.scaleb(-place))
            # Rounded in any way, it is one of these.
            for whole in (middle - 1, middle, middle + 1):
                for text, number in self._by_digits.get((place, whole), {}).items():
                    if number.is_printed(real) and text not in texts:
                        texts.append(text)
        return texts


def _place_of_last_digit(number: Decimal) -> int:
    place = number.as_tuple().exponent
    return place if isinstance(place, int) else 0


def _read_units(path: Path) -> list[Unit]:
    """Return the sentences and tables of a document that have numbers.

    Raises:
        UnreadableError: it is broken, or has too many numbers.
    """
    units = []
    count = 0
    for unit in _units(read_passages(path)):
        if unit.numbers:
            units.append(unit)
            count += len(unit.numbers)
        if count > MOST_NUMBERS:
            raise UnreadableError(f"{path}: more than {MOST_NUMBERS:,} numbers are data, and not looked at")
    return units


def locate_numbers(
    reader: Reader, units: list[Unit], figures: Iterable[LocatedFigure], rev: str | None, left_out: list[str]
) -> ComparedNumbers:
    """Compare the numbers of a document with the values of one result, and of the others.

    Args:
        reader: of the repository.
        units: sentences and tables of the document.
        figures: of it, which say of which result its numbers should be.
        rev: the result to compare with; None for that of the most figures, then of the most numbers.
        left_out: gets a line for what cannot be read.

    Raises:
        NotFoundError: there is no such revision.
    """
    wanted = _revision(reader, rev) if rev else None
    written = [number for unit in units for number in unit.numbers]
    if not written:
        return ComparedNumbers(result=Result(reader.snapshot(wanted)) if wanted else None, name=rev or "")
    commits = Commits(reader)
    candidates, keys = _read_candidates(commits, _PrintedNumbers(written), wanted, left_out)
    if not candidates:
        return ComparedNumbers()
    shown = Counter(result.rev for figure in figures if figure.is_traced for result in figure.results)
    chosen = candidates.get(wanted or "") or max(
        candidates.values(), key=lambda one: _rank(one, shown, commits.head)
    )
    name = rev or _name(chosen, commits.head)
    comparison = _Comparison(chosen, list(candidates.values()), Names(keys))
    numbers = [number for unit in units for number in comparison.of(unit)]
    return ComparedNumbers(numbers, Result(chosen.snapshot, chosen.experiment), name)


def _revision(reader: Reader, rev: str) -> str:
    named = revisions_named(reader, rev)
    if not named:
        raise NotFoundError(f"{rev}: no experiment or Git revision of that name")
    return named[0].rev


def _name(candidate: _Candidate, head: str | None) -> str:
    if candidate.snapshot.rev == head:
        return "HEAD"
    return candidate.experiment.name if candidate.experiment else candidate.snapshot.rev[:7]


def _rank(
    candidate: _Candidate, shown: Mapping[str, int], head: str | None
) -> tuple[int, int, bool, bool, int]:
    """Sort by figures, then numbers; then HEAD, other commits, experiments; newer ones last."""
    rev = candidate.snapshot.rev
    is_commit = candidate.experiment is None
    return shown.get(rev, 0), len(candidate.printed), rev == head, is_commit, candidate.snapshot.time


def _read_candidates(
    commits: Commits, numbers: _PrintedNumbers, wanted: str | None, left_out: list[str]
) -> tuple[dict[str, _Candidate], set[str]]:
    """Return revisions by id, commits first and older ones before newer ones, and keys of their metrics."""
    found: list[_Candidate] = []
    keys: set[str] = set()
    for position, snapshot in enumerate(loaded(commits.snapshots())):
        candidate = _Candidate(snapshot, commits.experiments.get(snapshot.rev), position)
        try:
            for value in values_of(snapshot, left_out):
                if value.kind is not ValueKind.PARAM:
                    keys.add(value.key)
                for text in numbers.of(value.value):
                    candidate.printed.setdefault(text, []).append(value)
        except UnreadableError as error:
            left_out.append(str(error))
        if candidate.printed or snapshot.rev in (wanted, commits.head):
            found.append(candidate)
    found.sort(key=lambda one: one.age, reverse=True)
    found.sort(key=lambda one: one.experiment is not None)
    return {one.snapshot.rev: one for one in found}, keys


def _in_its_unit(shown: str, text: str) -> str:
    """Return a value as a number is written beside which it is shown: with or without a percent sign."""
    sign = re.search(r"\s*%$", text)
    return shown.removesuffix("%") + (sign[0] if sign else "")


def _recorded(written: Written, values: list[NamedValue]) -> LocatedNumber:
    """Return a number as the likeliest of the values that print so; as of no result where there are none."""
    if not values:
        return LocatedNumber(written.place, written.text, written.words)
    kinds = list(ValueKind)
    value = min(values, key=lambda one: (kinds.index(one.kind), one.key))
    return LocatedNumber(written.place, written.text, written.words, value.key, value.value)


class _Comparison:
    """Compares the numbers of sentences and tables with one result, and where they differ with the others."""

    def __init__(self, chosen: _Candidate, candidates: list[_Candidate], names: Names) -> None:
        self._chosen = chosen
        self._candidates = candidates
        self._names = names
        self._values: dict[str, Any] = {}
        for value in values_of(chosen.snapshot, []):
            if value.kind is not ValueKind.PARAM and number_in(value.value) is not None:
                self._values[value.key] = value.value

    def of(self, unit: Unit) -> Iterator[LocatedNumber]:
        """Yield the numbers of a sentence or table, each with what it is of."""
        tied = unit.tied(self._names)
        # Where the value of a metric is there, another one beside it is there to be compared with it.
        compared: set[str] = set()
        for written in unit.numbers:
            for value in self._chosen.printed.get(written.text, ()):
                if value.key in tied.get(written.slot, ()):
                    compared.add(value.key)
        for written in unit.numbers:
            if written.slot in unit.cited:
                yield LocatedNumber(written.place, written.text, written.words)
                continue
            keys = tied.get(written.slot, frozenset())
            printed = self._chosen.printed.get(written.text, [])
            own = [value for value in printed if value.key in keys]
            # What the words name counts more than what happens to print so.
            of_another = None if own else self._of_another(written, sorted(keys - compared), unit.around)
            yield of_another or _recorded(written, own or printed)

    def _of_another(self, written: Written, keys: list[str], around: frozenset[str]) -> LocatedNumber | None:
        """Return a number as that of the oldest commit, or else experiment, that has it; None without any."""
        place, text, words = written.place, written.text, written.words
        for key in keys:
            if key not in self._values:
                continue
            for candidate in self._candidates:
                for value in candidate.printed.get(text, ()):
                    if value.key == key and not self._is_named(candidate, around):
                        result = Result(candidate.snapshot, candidate.experiment)
                        current = self._values[key]
                        is_older = candidate.age >= self._chosen.age
                        shown = _in_its_unit(written.number.as_written(current, value.value), text)
                        return LocatedNumber(
                            place, text, words, key, value.value, result, current, shown, is_older
                        )
        return None

    def _is_named(self, candidate: _Candidate, around: frozenset[str]) -> bool:
        """Return true where the words name a param that the other result has and this one has not."""
        params = self._chosen.snapshot.params
        for key, value in candidate.snapshot.params.items():
            if same_value(value, params.get(key)):
                continue
            words = _words_of_key(str(value))
            if isinstance(value, str) and words and around.issuperset(words):
                return True
            leaf = _words_of_key(key.rpartition(".")[2])
            if f"{value}" in around and around.intersection(leaf):
                return True
        return False
