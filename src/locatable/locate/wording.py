"""Which metric the words of a manuscript name for a number.

A number counts where it has three significant digits, or two and a power of ten. A sentence names a metric
for numbers in one of three ways:

1. The name is right before them: "an accuracy of about 0.951", "accuracy (0.951)", "accuracy and AUC of
   0.951 and 0.984".
2. The name is the subject of the verb or sign right before them: "the accuracy on the test set is 0.951".
   Between are no other number, no "and", and nothing that begins another clause.
3. The name is right after them: "0.951 accuracy", "0.951 (accuracy)". Then nothing else may claim the number,
   as in "a dropout of 0.5 for accuracy" or "p = 0.5", and the name may have no number of its own, as in
   "0.5 for an accuracy of 0.951".

Names that are but a part of another quantity do not count: "the gain in accuracy", "the accuracy gap".

In a table, a number has the metrics that the heads of its row and column name, or else those that the caption
names. A number is of others' work where that is cited in the same part of the sentence, or in the heads.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path

from ..documents.passages import CITED, Passage
from .by_value import NUMBER, QuotedNumber, last_place, parse_quoted

# Significant digits that a number needs, and one with a power of ten.
FEWEST_DIGITS = 3
FEWEST_WITH_POWER = 2
# Characters of a sentence that are shown before and after a number.
BEFORE, AFTER = 44, 20
# A longer sentence is none that a person wrote.
LONGEST_SENTENCE = 3_000
# A name in a manuscript has at most so many words.
LONGEST_NAME = 4

# Numbers in a text

_NUMBERED = (
    r"fig(?:ures?|s?\.)|tab(?:les?|s?\.)|sec(?:tions?|s?\.)|chap(?:ters?|\.)|equations?|eqn?s?\.|appendix|"
    r"algorithm|theorem|lemma|listing|lines?|pages?|pp?\.|vol(?:ume|\.)|nos?\.|issue|grant|refs?\."
)
# Digits that are no measured number. Each pattern takes time in proportion to the text.
_NOT_MEASURED = {
    # https://example.org/0.951, www.example.org/123
    "URL": r"https?://\S+|www\.\S+",
    # group123@example.org
    "e-mail address": r"\S{1,80}@\S{1,80}\.\w+",
    # 10.1234/567.891, arXiv:2103.00020, ISBN 978-3-16-148410-0
    "identifier": r"\b10\.\d{4,9}/\S+|\barxiv:?\s*\S+|\b(?:doi|isbn|issn|orcid)\b:?\s*[\d\w./-]+",
    # 2026-11-30, 30.11.2026, 11/30/26
    "date": r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b",
    # 12:34, 12:34:56
    "time": r"\b\d{1,2}:\d{2}(?::\d{2})?\b",
    # 1.26.4, v3.141, Python 3.11
    "version": r"\bv?\d+\.\d+\.\d+[\w.+-]*|\bv\d[\w.]*"
    r"|\b(?:version|release|python|pytorch|numpy|cuda)\s+v?\d[\w.]*",
    # +49 30 1234567, 555-123-4567, 030 1234567
    "phone number": r"\+\d[\d\s()/-]{6,20}\d|\b\d{3}[-.\s]\d{3}[-.\s]\d{4}\b|\b0\d{1,5}[/\s-]\d[\d\s-]{4,12}",
    # Fig. 3, Eq. (3.14), Figs. 123 and 124, Table A1, §2.1, #123
    "numbered reference": rf"(?:\b(?:{_NUMBERED})|[§#])\s*\(?[A-Z]?\d[\d.]*\)?"
    r"(?:\s*(?:[-–,]|and|to)\s*\(?\d{1,4}(?:\.\d{1,2})?\)?(?![\d.%]))*",
}
_NO_NUMBER = re.compile("|".join(_NOT_MEASURED.values()), re.IGNORECASE)
# Not a part of a word, a path or a longer number.
_NUMBER = re.compile(rf"(?<![\w@#\\^])(?<![A-Za-z]-)(?<!\d[.,:])(?![-+]\s){NUMBER}(?![\w^]|[.,]\d)")
_YEAR = re.compile(r"(?:19|20)\d\d")
_MINUS = str.maketrans("−﹣－", "---")

_AUTHOR = r"[A-Z][\w'-]+"
_AND_AUTHOR = rf",? (?:and|&) {_AUTHOR}"
_CITATIONS = {
    # What the reader of documents puts for a command that cites, and LaTeX for one that it cannot find.
    "command": rf"{re.escape(CITED)}|\[\?\]",
    # [3], [1, 4-6]
    "number": r"\[\d{1,4}(?:\s*[,;–-]\s*\d{1,4})*\]",
    # Smith et al.
    "et al.": r"\bet al\b\.?",
    # Smith (2019), Smith and Jones 2019
    "authors": rf"{_AUTHOR}(?:{_AND_AUTHOR},? \(?| \()(?:19|20)\d\d[a-z]?\)?",
    # (Smith, 2019), (Smith and Jones 2019)
    "authors in brackets": rf"\({_AUTHOR}(?:{_AND_AUTHOR})?,? (?:19|20)\d\d[a-z]?\)",
}
_CITATION = re.compile("|".join(_CITATIONS.values()))


@dataclass(frozen=True)
class Written:
    """A number as a manuscript has it.

    Attributes:
        place: where it is.
        text: its characters.
        words: around it in its sentence; of a table, the heads of its row and column.
        quoted: what it can stand for.
        is_cited: true if it is of others' work.
    """

    place: str
    text: str
    words: str
    quoted: QuotedNumber
    is_cited: bool


def _only_measured(text: str) -> str:
    """Return a text of the same length with blanks for digits that are no measured number."""
    return _NO_NUMBER.sub(lambda match: " " * len(match[0]), text.translate(_MINUS))


def _stripped(number: str) -> str:
    return number.strip(" \u00a0\u2009\u202f\n\t$").rstrip(".,")


def _significant(text: str) -> QuotedNumber | None:
    """Return a number that has enough digits to say which result it is of, and is no year."""
    text = _stripped(text)
    quoted = None if _YEAR.fullmatch(text) else parse_quoted(text)
    if quoted is None:
        return None
    number = quoted.numbers[-1]
    digits = "".join(map(str, number.as_tuple().digits))
    if re.search(r"[eE×x*·^]", text):
        return quoted if len(digits) >= FEWEST_WITH_POWER else None
    if "." not in text and last_place(number) == 0:
        digits = digits.rstrip("0")  # 1000 is a round number
    return quoted if len(digits) >= FEWEST_DIGITS else None


def _has_significant(text: str) -> bool:
    return any(_significant(match[0]) for match in _NUMBER.finditer(text))


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


# Names of metrics

# Words that tell metrics of the same name apart, or say nothing of what is measured.
_QUALIFIERS = frozenset(
    "train valid test dev eval evaluate evaluation holdout mean std final best last first epoch fold cv "
    "split score value metric result report overall macro micro weighted total model".split()
)
_SPLITS = frozenset(("train", "valid", "test"))
_SYNONYMS = {
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


@lru_cache(10_000)
def canonical(word: str) -> str:
    """Return what stands for a word, its plural and its synonyms."""
    word = unicodedata.normalize("NFKC", word).casefold()
    if word.endswith("ies") and len(word) > 4:
        word = f"{word[:-3]}y"
    elif word.endswith("sses"):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return _SYNONYMS.get(word, word)


def words_of_key(text: str) -> list[str]:
    """Return the words of a key: `valid.logLoss` and `valid/log_loss` have the same."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [canonical(word) for word in re.findall(r"[^\W_]+", apart) if not word.isdigit()]


class Names:
    """The words that can name the metrics of all results."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._qualifiers: dict[str, frozenset[str]] = {}
        # By words without blanks, the keys they can mean, and how many words of a key are missing.
        self._keys: dict[str, dict[str, int]] = {}
        for key in keys:
            self._add(key)

    def _add(self, key: str) -> None:
        path, _, dotted = key.rpartition(":")
        words = words_of_key(dotted if path else Path(key).stem)
        telling = [word for word in words if word not in _QUALIFIERS]
        self._qualifiers[key] = frozenset([*words, *words_of_key(path)]).difference(telling)
        names = {"".join(telling or words): 0}
        if len(telling) > 1:
            names[telling[-1]] = len(telling) - 1
        if len(words) > 2:
            names["".join(word[0] for word in words)] = 0
        for name, missing in names.items():
            if name:
                self._keys.setdefault(name, {}).setdefault(key, missing)

    def find(
        self, words: Sequence[str], around: AbstractSet[str]
    ) -> Iterator[tuple[int, int, frozenset[str]]]:
        """Yield start and end of each name among words, the longest there, and the keys that it means.

        Args:
            words: in canonical form; an empty one is no word, and part of no name.
            around: other words, which tell metrics of the same name apart.
        """
        start = 0
        while start < len(words):
            length = self._length_at(words, start)
            if length:
                keys = self._keys["".join(words[start : start + length])]
                yield start, start + length, self._meant(keys, around)
            start += max(1, length)

    def _length_at(self, words: Sequence[str], start: int) -> int:
        for length in range(min(LONGEST_NAME, len(words) - start), 0, -1):
            together = words[start : start + length]
            if all(together) and "".join(together) in self._keys:
                return length
        return 0

    def _meant(self, keys: dict[str, int], around: AbstractSet[str]) -> frozenset[str]:
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


# Sentences


class Kind(Enum):
    """A kind of word or mark, by what it does between a name and a number."""

    NAME = "name of a metric"
    NUMBER = "number: 0.951, 95 %"
    WHOLE = "whole number, which can count something: 114"
    CITATION = "citation of others' work"
    QUALIFIER = "word that tells metrics apart: test, mean"
    OF = "preposition before a number: of, to"
    AT = "at"
    IN = "preposition before a name: in, for"
    VERB = "verb that says what something is: is, reaches"
    EQUALS = "sign that says so: =, <"
    ABOUT = "article or adverb: an, about"
    AND = "and, or"
    COMMA = ","
    OPEN = "("
    CLOSE = ")"
    PLUS_MINUS = "±"
    CLAUSE = "word or mark that begins a clause: while, that"
    OTHER = "another quantity, which a metric can be a part of: gap, threshold, p"
    WORD = "any other word"


_WORDS = {
    Kind.OF: "of to by from up between",
    Kind.AT: "at",
    Kind.IN: "in for on",
    Kind.VERB: "is was are were be been equals equal reaches reached reach achieves achieved achieve attains "
    "attained obtains obtained obtain gets got gives gave yields yielded has had have remains remained stays "
    "stayed drops dropped drop falls fell fall rises rose rise increases increased increase decreases "
    "decreased improves improved improve grows grew becomes became scores scored exceeds exceeded "
    "amounts comes stands lie lies lay :",
    Kind.EQUALS: "= ≈ < > ≤ ≥",
    Kind.ABOUT: "a an about approximately roughly nearly almost only around just over under above exactly "
    "as ~",
    Kind.AND: "and or & / versus vs",
    Kind.COMMA: ",",
    Kind.OPEN: "(",
    Kind.CLOSE: ")",
    Kind.PLUS_MINUS: "±",
    Kind.CLAUSE: "when while where whereas whose if because since although though but that ;",
    Kind.OTHER: "difference differences gap gain gains improvement threshold target change ratio margin "
    "variance interval sd se ci iqr df",
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words.split()}

# Between a name and its numbers, and between a verb and its numbers.
_AFTER_NAME = {Kind.OF, Kind.ABOUT, Kind.QUALIFIER, Kind.OPEN}
_AFTER_VERB = {*_AFTER_NAME, Kind.AT}
# Between numbers and a name after them.
_AFTER_NUMBERS = {*_AFTER_NAME, Kind.IN, Kind.CLOSE}
# Between names, and between numbers, that are said together.
_BETWEEN_NAMES = {Kind.AND, Kind.COMMA, Kind.ABOUT, Kind.QUALIFIER}
_BETWEEN_NUMBERS = {Kind.AND, Kind.COMMA, Kind.ABOUT, Kind.OF, Kind.OPEN, Kind.CLOSE, Kind.PLUS_MINUS}
# What the way from a verb back to its subject does not cross.
_NOT_IN_SUBJECT = {Kind.NUMBER, Kind.AND, Kind.CLAUSE, Kind.OTHER, Kind.CITATION}
# What ends the part of a sentence that a citation is for.
_PARTS = {Kind.COMMA, Kind.CLAUSE, Kind.OTHER}

BACK, AHEAD = -1, 1


def _skip(kinds: Sequence[Kind], position: int, step: int, skipped: AbstractSet[Kind]) -> int:
    """Return the next position, back or ahead, whose kind is not to be skipped."""
    position += step
    while kinds[position] in skipped:
        position += step
    return position


def names_of_numbers(kinds: Sequence[Kind]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the positions of numbers in a sentence, with those of the names that it has for them.

    Args:
        kinds: of the tokens; the first and the last are `Kind.CLAUSE`, so that each walk ends.
    """
    for numbers in _said_together(kinds):
        names = _names_before(kinds, numbers[0])
        if not names:
            if _is_of_other(kinds, numbers[0]):
                numbers = numbers[1:]
            names = _names_right_after(kinds, numbers[-1]) if numbers else []
        if names:
            yield numbers, names


def _names_before(kinds: Sequence[Kind], number: int) -> list[int]:
    """Return the positions of names right before a number, or else in the subject of its verb."""
    name = _name_right_before(kinds, number)
    if name is None:
        name = _subject(kinds, number)
    if name is None:
        return []
    names = _listed(kinds, name)
    return [] if _is_part_of_other(kinds, names[0]) else names


def _said_together(kinds: Sequence[Kind]) -> Iterator[list[int]]:
    """Yield positions of numbers that share their names: "0.951, 0.947 and 0.984", "0.951 ± 0.012"."""
    numbers: list[int] = []
    for position, kind in enumerate(kinds):
        if kind is Kind.NUMBER:
            numbers.append(position)
        elif numbers and kind not in _BETWEEN_NUMBERS:
            yield numbers
            numbers = []


def _name_right_before(kinds: Sequence[Kind], number: int) -> int | None:
    """Return the position of a name with only small words behind it: "an accuracy of about 0.951"."""
    name = _skip(kinds, number, BACK, _AFTER_NAME)
    return name if kinds[name] is Kind.NAME else None


def _subject(kinds: Sequence[Kind], number: int) -> int | None:
    """Return the position of the first name in a subject: "the accuracy on the test set is 0.951".

    A part between two commas is passed over: "the accuracy, measured on new data, was 0.951".
    """
    position = _skip(kinds, number, BACK, _AFTER_VERB)
    if kinds[position] not in {Kind.VERB, Kind.EQUALS}:
        return None
    first = None
    while kinds[position] not in _NOT_IN_SUBJECT:
        if kinds[position] is Kind.NAME:
            first = position
        if kinds[position] is Kind.COMMA:
            position -= 1
            while kinds[position] is not Kind.COMMA:
                if kinds[position] in _NOT_IN_SUBJECT:
                    return first
                position -= 1
        position -= 1
    return first


def _listed(kinds: Sequence[Kind], name: int) -> list[int]:
    """Return the positions of a name and of those beside it: "accuracy, F1 and the AUC"."""
    names = [name]
    for step in (BACK, AHEAD):
        beside = _skip(kinds, name, step, _BETWEEN_NAMES)
        while kinds[beside] is Kind.NAME:
            names.append(beside)
            beside = _skip(kinds, beside, step, _BETWEEN_NAMES)
    return sorted(names)


def _is_part_of_other(kinds: Sequence[Kind], name: int) -> bool:
    """Return true for a name behind another quantity: "the gain in test accuracy"."""
    before = _skip(kinds, name, BACK, {Kind.ABOUT, Kind.QUALIFIER})
    return kinds[before] in {Kind.IN, Kind.OF} and kinds[before - 1] is Kind.OTHER


def _is_of_other(kinds: Sequence[Kind], number: int) -> bool:
    """Return true for a number that something else has: "a dropout of about 0.5", "p = 0.5"."""
    before = _skip(kinds, number, BACK, {Kind.ABOUT})
    if kinds[before] is Kind.OF:
        return kinds[before - 1] in {Kind.WORD, Kind.OTHER}
    return kinds[before] is Kind.EQUALS


def _names_right_after(kinds: Sequence[Kind], number: int) -> list[int]:
    """Return the positions of names right after a number that have none of their own: "0.951 accuracy"."""
    name = _skip(kinds, number, AHEAD, _AFTER_NUMBERS)
    if kinds[name] is not Kind.NAME:
        return []
    names = _listed(kinds, name)
    after = _skip(kinds, names[-1], AHEAD, {*_AFTER_NAME, Kind.VERB, Kind.EQUALS})
    if kinds[after] is Kind.NUMBER:
        names.pop()
    return names


_TOKEN = re.compile(
    rf"(?P<citation>{_CITATION.pattern})|(?P<number>{_NUMBER.pattern})"
    r"|(?P<word>[^\W\d_][^\W_]*)|(?P<mark>[^\w\s-])"
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bal\.)(?<!\bcf\.)(?<!\bvs\.)(?<!\bca\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bresp\.)"
    r"(?<!\bapprox\.)\s+(?=[^a-z\s])"
)


@dataclass(frozen=True)
class Token:
    """A word, number or mark of a sentence.

    Attributes:
        kind: what it does between a name and a number.
        start: of its characters in the sentence.
        text: its characters.
        word: in canonical form; empty for a number or mark.
        keys: of a name, the metrics that it means.
    """

    kind: Kind
    start: int
    text: str
    word: str = ""
    keys: frozenset[str] = frozenset()


def _tokens(text: str) -> Iterator[Token]:
    """Yield the words, numbers and marks of a sentence; not the marks that mean nothing here."""
    for match in _TOKEN.finditer(text):
        kind = _kind_of(match)
        if kind:
            word = canonical(match[0]) if match["word"] else ""
            yield Token(kind, match.start(), match[0], word)


def _kind_of(match: re.Match[str]) -> Kind | None:
    if match["citation"]:
        return Kind.CITATION
    if match["number"]:
        return _kind_of_number(_stripped(match["number"]))
    if match["mark"]:
        return _KIND_OF.get(match["mark"])
    return _kind_of_word(match["word"].casefold())


def _kind_of_number(number: str) -> Kind:
    if _YEAR.fullmatch(number):
        return Kind.WORD
    return Kind.WHOLE if number.isdecimal() else Kind.NUMBER


def _kind_of_word(word: str) -> Kind:
    if word in _KIND_OF:
        return _KIND_OF[word]
    if len(word) == 1:
        return Kind.OTHER  # a variable, as in "p < 0.001"
    return Kind.QUALIFIER if canonical(word) in _QUALIFIERS else Kind.WORD


class Sentence:
    """A sentence.

    Attributes:
        numbers: that count.
        around: its words, and its numbers as they are written.
    """

    def __init__(self, text: str, offset: int, passage: Passage) -> None:
        """Read the text at an offset of a passage; digits that are no measured number are blanks in it."""
        self._tokens = list(_tokens(text))
        # By start.
        self._written: dict[int, Written] = {}
        around: set[str] = set()
        shown = passage.text[offset : offset + len(text)]
        for position, token in enumerate(self._tokens):
            around.add(token.word)
            if token.kind not in {Kind.NUMBER, Kind.WHOLE}:
                continue
            number = _stripped(token.text)
            around.add(number)
            quoted = _significant(number)
            if quoted:
                place = passage.place_at(offset + token.start)
                words = _words_around(shown, token.start, token.start + len(token.text))
                self._written[token.start] = Written(place, number, words, quoted, self._is_cited(position))
        self.numbers = list(self._written.values())
        self.around = frozenset(around)

    def _is_cited(self, position: int) -> bool:
        """Return true where others' work is cited in the same part of the sentence."""
        part: list[Token] = []
        for token in reversed(self._tokens[:position]):
            if token.kind in _PARTS:
                break
            part.append(token)
        for token in self._tokens[position:]:
            if token.kind in _PARTS:
                break
            part.append(token)
        return any(token.kind is Kind.CITATION for token in part)

    def named(self, names: Names) -> Iterator[tuple[Written, frozenset[str]]]:
        """Yield each number that counts, with the metrics that the words name for it."""
        tokens = self._with_names(names)
        keys: dict[int, frozenset[str]] = {}
        # First whole numbers are words, as in "on 114 samples it is 0.951"; then they are numbers.
        for whole in (Kind.WORD, Kind.NUMBER):
            kinds = [whole if token.kind is Kind.WHOLE else token.kind for token in tokens]
            for numbers, found in names_of_numbers(kinds):
                meant = frozenset[str]().union(*(tokens[name].keys for name in found))
                for number in numbers:
                    keys.setdefault(tokens[number].start, meant)
        for start, written in self._written.items():
            yield written, keys.get(start, frozenset())

    def _with_names(self, names: Names) -> list[Token]:
        """Return the tokens, each name as one of them, between two that begin and end a clause."""
        words = [token.word for token in self._tokens]
        edge = Token(Kind.CLAUSE, 0, "")
        tokens = [edge]
        position = 0
        for start, end, keys in names.find(words, self.around):
            tokens += self._tokens[position:start]
            tokens.append(replace(self._tokens[start], kind=Kind.NAME, keys=keys))
            position = end
        return [*tokens, *self._tokens[position:], edge]


# Tables


@dataclass(frozen=True)
class _Cell:
    """A number of a table, with the cells of its row, the heads of its column, and the column's position."""

    written: Written
    row: list[str]
    head: str
    column: int


class Table:
    """A table, whose first rows and first column say what its numbers are.

    Attributes:
        numbers: that count.
        around: the words of its caption and heads, and the numbers in these as they are written.
    """

    def __init__(self, passage: Passage) -> None:
        self._caption = passage.text
        self._heads: list[list[str]] = []
        self._cells: list[_Cell] = []
        place = passage.place_at(0)
        heads = [self._caption]
        for cells in passage.rows or ():
            row = [_only_measured(cell) for cell in cells]
            # A row without a head begins with a number.
            first = 0 if _has_significant(row[0]) else 1
            if not self._cells and not any(map(_has_significant, row[first:])):
                self._heads.append(row)
                heads += row
                continue
            heads.append(row[0])
            for column in range(first, len(row)):
                self._cells += self._read_cell(row, column, place)
        self.numbers = [cell.written for cell in self._cells]
        self.around = frozenset(map(canonical, re.findall(r"[^\W_]+(?:\.\d+)?", " ".join(heads))))

    def _read_cell(self, row: list[str], column: int, place: str) -> Iterator[_Cell]:
        head = self._head(row, column)
        beside = row[0].strip() if column else ""
        words = " | ".join(filter(None, [beside, head.strip()]))
        is_cited = _CITATION.search(f"{row[0]} {head}") is not None
        for match in _NUMBER.finditer(row[column]):
            text = _stripped(match[0])
            is_percent = "%" in head and "%" not in text
            quoted = _significant(f"{text}%" if is_percent else text)
            if quoted:
                written = Written(place, text, words[: BEFORE + AFTER], quoted, is_cited)
                yield _Cell(written, row, head, column)

    def _head(self, row: list[str], column: int) -> str:
        """Return the heads of a column; of a table whose columns are not known apart, those of all."""
        parts = []
        for head in self._heads:
            parts.append(head[column] if len(head) == len(row) else " ".join(head))
        return " ".join(parts)

    def named(self, names: Names) -> Iterator[tuple[Written, frozenset[str]]]:
        """Yield each number that counts, with the metrics that heads, or else the caption, name for it."""
        for cell in self._cells:
            around = frozenset(_words(f"{cell.row[0]} {cell.head} {self._caption}"))
            found = self._in_head(cell, names, around) + _names_in(cell.row[0], names, around)
            if not found:
                found = _names_in(self._caption, names, around)
            yield cell.written, frozenset[str]().union(*found)

    def _in_head(self, cell: _Cell, names: Names, around: frozenset[str]) -> list[frozenset[str]]:
        """Return the metrics of each name in the heads of a column."""
        found = _names_in(cell.head, names, around)
        columns = len(cell.row)
        is_one_line = len(self._heads) == 1 and len(self._heads[0]) != columns
        if is_one_line and len(found) == columns - 1:
            # As many names as columns: each is of one.
            return found[cell.column - 1 : cell.column]
        return found


def _words(text: str) -> list[str]:
    """Return the words of heads in canonical form, and an empty one for each mark between them."""
    words = []
    for part in re.findall(r"[^\W_]+|[^\w\s-]", text):
        words.append(canonical(part) if part[0].isalnum() else "")
    return words


def _names_in(text: str, names: Names, around: frozenset[str]) -> list[frozenset[str]]:
    """Return the metrics of each name in a head or caption."""
    return [keys for _, _, keys in names.find(_words(text), around)]


Unit = Sentence | Table


def units_of(passages: Iterable[Passage]) -> Iterator[Unit]:
    """Yield the sentences and tables of a manuscript."""
    for passage in passages:
        if passage.rows is not None:
            yield Table(passage)
            continue
        text = _only_measured(passage.text)
        start = 0
        while start < len(text):
            end = _SENTENCE_END.search(text, start, start + LONGEST_SENTENCE)
            stop = end.end() if end else start + LONGEST_SENTENCE
            yield Sentence(text[start:stop], start, passage)
            start = stop
