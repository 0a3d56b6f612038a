"""Find the metric that the words of a manuscript name for a number.

A sentence is read as a sequence of tokens: names of metrics, numbers, and words and marks of some `Kind`. It
names a metric for a number, or for several numbers that are listed together, in one of three ways:

1. The name is right before the number: "an accuracy of about 0.951", "accuracy (0.951)", "accuracy and AUC of
   0.951 and 0.984".
2. The name is in the subject of the verb or sign before the number: "the accuracy on the test set is 0.951".
   Between name and verb there must be no other number, no "and", and no word that begins another clause.
3. The name is right after the number: "0.951 accuracy", "0.951 (accuracy)". The number must not belong to
   something else, as in "a dropout of 0.5 for accuracy" and "p = 0.5". The name must not be followed by
   another number, as in "0.5 (accuracy 0.951)".

A name that is only part of another quantity names no metric: "the gain in accuracy", "the accuracy gap".

In a table, the heads of a number's row and column name its metrics; if they name none, the caption does. A
number is taken from the work of others if that is cited in the same part of the sentence, or in the heads.
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
from .by_value import NUMBER_IN_TEXT, YEAR, QuotedNumber, bare_number, only_measured, significant

# Number of characters of a sentence that are shown before and after a number.
BEFORE, AFTER = 44, 20
# Longer sentences are cut: nobody writes them by hand.
LONGEST_SENTENCE = 3_000
# Largest number of words in a name of a metric.
LONGEST_NAME = 4

_AUTHOR = r"[A-Z][\w'-]+"
_AND_AUTHOR = rf",? (?:and|&) {_AUTHOR}"
_CITATIONS = {
    # What `documents` puts in place of a citing command, and what LaTeX prints for a missing reference.
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
class WrittenNumber:
    """A number in a manuscript.

    Attributes:
        place: its place in the document, in words.
        text: its characters.
        words: the words around it in its sentence; in a table, the heads of its row and column.
        quoted: the parsed number.
        is_cited: true if it is taken from the work of others.
    """

    place: str
    text: str
    words: str
    quoted: QuotedNumber
    is_cited: bool


def _words_around(text: str, start: int, end: int) -> str:
    """Return the part of a sentence around a number, cut between words."""
    first = max(0, start - BEFORE)
    last = min(len(text), end + AFTER)
    before = text[first:start]
    after = text[end:last]
    if first:
        before = f"… {before.partition(' ')[2]}"
    if last < len(text):
        after = f"{after.rpartition(' ')[0]} …"
    return " ".join(f"{before}{text[start:end]}{after}".split())


# Names of metrics

# Words that distinguish metrics of the same name, or do not say what is measured.
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
    """Return the form that a word shares with its plural and its synonyms."""
    word = unicodedata.normalize("NFKC", word).casefold()
    if word.endswith("ies") and len(word) > 4:
        word = f"{word[:-3]}y"
    elif word.endswith("sses"):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return _SYNONYMS.get(word, word)


def words_of_key(text: str) -> list[str]:
    """Return the words of a key in canonical form: `valid.logLoss` and `valid/log_loss` have the same."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [canonical(word) for word in re.findall(r"[^\W_]+", apart) if not word.isdigit()]


class Names:
    """The names by which a text can call the metrics of all results."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._qualifiers: dict[str, frozenset[str]] = {}
        # The keys that a name without blanks can mean, with the number of words that the name leaves out:
        # for "log_loss", it is 0 in "logloss", and 1 in "loss".
        self._keys: dict[str, dict[str, int]] = {}
        for key in keys:
            self._add(key)

    def _add(self, key: str) -> None:
        """Add the names of a metric: its words without qualifiers, the last of these words, its initials."""
        path, _, dotted = key.rpartition(":")
        words = words_of_key(dotted if path else Path(key).stem)
        distinctive = [word for word in words if word not in _QUALIFIERS]
        self._qualifiers[key] = frozenset([*words, *words_of_key(path)]).difference(distinctive)
        names = {"".join(distinctive or words): 0}
        if len(distinctive) > 1:
            names[distinctive[-1]] = len(distinctive) - 1
        if len(words) > 2:
            names["".join(word[0] for word in words)] = 0
        for name, missing in names.items():
            if name:
                self._keys.setdefault(name, {}).setdefault(key, missing)

    def find(
        self, words: Sequence[str], context: AbstractSet[str]
    ) -> Iterator[tuple[int, int, frozenset[str]]]:
        """Yield the start and end of each name, the longest one at its place, and the keys that it means.

        Args:
            words: words in canonical form; an empty one stands for a mark, which no name contains.
            context: the words of the surroundings, which distinguish metrics of the same name.
        """
        start = 0
        while start < len(words):
            length = self._length_at(words, start)
            if length:
                keys = self._keys["".join(words[start : start + length])]
                yield start, start + length, self._likeliest(keys, context)
            start += max(1, length)

    def _length_at(self, words: Sequence[str], start: int) -> int:
        """Return the number of words in the longest name at a position; 0 if no name begins there."""
        for length in range(min(LONGEST_NAME, len(words) - start), 0, -1):
            name = words[start : start + length]
            if all(name) and "".join(name) in self._keys:
                return length
        return 0

    def _likeliest(self, keys: dict[str, int], context: AbstractSet[str]) -> frozenset[str]:
        """Return the keys that a name is most likely to mean.

        Keys of a different split are excluded: next to the word "test", a name does not mean a metric of the
        training set. Of the others, the keys win from which the name leaves out the fewest words; and among
        these, the keys with the most qualifiers in the words around the name.
        """
        splits = context & _SPLITS
        by_rank: dict[tuple[int, int], set[str]] = {}
        for key, missing in keys.items():
            qualifiers = self._qualifiers[key]
            splits_of_key = qualifiers & _SPLITS
            if splits and splits_of_key and splits.isdisjoint(splits_of_key):
                continue
            rank = -missing, len(qualifiers & context)
            by_rank.setdefault(rank, set()).add(key)
        return frozenset(by_rank[max(by_rank)] if by_rank else ())


# Sentences


class Kind(Enum):
    """The kind of a word or mark, by its function between a name and a number."""

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
    ARTICLE = "a, the"
    ABOUT = "adverb before a number: about, only"
    AND = "and, or"
    COMMA = ","
    OPEN = "("
    CLOSE = ")"
    PLUS_MINUS = "±"
    CLAUSE = "word or mark that begins a clause: while, that"
    QUANTITY = "another quantity, which can be that of a metric: gap, threshold, p"
    WORD = "any other word"


_WORDS = {
    Kind.OF: "of to by from up between",
    Kind.AT: "at",
    Kind.IN: "in for on",
    Kind.VERB: "is was are were be been equals equal reaches reached reach achieves achieved achieve attains "
    "attained obtains obtained obtain gets got gives gave yields yielded has had have remains remained stays "
    "stayed drops dropped drop falls fell fall rises rose rise increases increased increase decreases "
    "decreased improves improved improve grows grew becomes became scores scored exceed exceeds exceeded "
    "ranges ranged amounts comes stands lie lies lay :",
    Kind.EQUALS: "= ≈ < > ≤ ≥",
    Kind.ARTICLE: "a an the",
    Kind.ABOUT: "about approx approximately ca roughly nearly almost only around just over under above "
    "exactly as ~",
    Kind.AND: "and or & / versus vs",
    Kind.COMMA: ",",
    Kind.OPEN: "(",
    Kind.CLOSE: ")",
    Kind.PLUS_MINUS: "±",
    Kind.CLAUSE: "when while where whereas whose if because since although though but that ;",
    Kind.QUANTITY: "difference differences gap gain gains improvement threshold target change ratio margin "
    "variance interval correlation sd se ci iqr df",
}
_KIND_OF = {word: kind for kind, words in _WORDS.items() for word in words.split()}

# Kinds allowed between a name and its numbers, and between a verb and its numbers.
_AFTER_NAME = {Kind.OF, Kind.ABOUT, Kind.QUALIFIER, Kind.OPEN}
_AFTER_VERB = {*_AFTER_NAME, Kind.AT}
# Kinds allowed between numbers and a name after them.
_AFTER_NUMBERS = {*_AFTER_NAME, Kind.IN, Kind.CLOSE}
# Kinds allowed between names, and between numbers, that are listed together.
_BETWEEN_NAMES = {Kind.AND, Kind.COMMA, Kind.ARTICLE, Kind.QUALIFIER}
_BETWEEN_NUMBERS = {Kind.AND, Kind.COMMA, Kind.ABOUT, Kind.OF, Kind.OPEN, Kind.CLOSE, Kind.PLUS_MINUS}
# Kinds at which the search from a verb back to its subject ends. Parts between commas or in brackets are
# skipped on the way, if they consist of the kinds below.
_NOT_IN_SUBJECT = {Kind.NUMBER, Kind.AND, Kind.CLAUSE, Kind.QUANTITY, Kind.CITATION}
_BETWEEN_COMMAS = set(Kind) - _NOT_IN_SUBJECT - {Kind.COMMA}
_BETWEEN_BRACKETS = set(Kind) - {Kind.NUMBER, Kind.NAME, Kind.CITATION, Kind.CLAUSE, Kind.OPEN}
# Kinds that end the part of a sentence to which a citation refers.
_ENDS_PART = {Kind.COMMA, Kind.CLAUSE, Kind.QUANTITY}

BACK, AHEAD = -1, 1


def _skip(kinds: Sequence[Kind], position: int, step: int, skipped: AbstractSet[Kind]) -> int:
    """Return the next position, in the direction of `step`, whose kind is not skipped."""
    position += step
    while kinds[position] in skipped:
        position += step
    return position


def names_of_numbers(kinds: Sequence[Kind]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the positions of numbers in a sentence, with the positions of the names for them.

    Args:
        kinds: the kinds of the tokens. The first and the last are `Kind.CLAUSE`, so that every search ends.
    """
    for numbers in _lists_of_numbers(kinds):
        names = _names_right_before(kinds, numbers[0])
        if not names:
            names = _names_in_subject(kinds, numbers[0])
        if not names and _is_of_something_else(kinds, numbers[0]):
            numbers = numbers[1:]
        if not names and numbers:
            names = _names_right_after(kinds, numbers[-1])
        if names and not _is_part_of_quantity(kinds, names):
            yield numbers, names


def _lists_of_numbers(kinds: Sequence[Kind]) -> Iterator[list[int]]:
    """Yield the positions of numbers that share a name: "0.951, 0.947 and 0.984", "0.951 ± 0.012"."""
    numbers: list[int] = []
    for position, kind in enumerate(kinds):
        if kind is Kind.NUMBER:
            numbers.append(position)
        elif numbers and kind not in _BETWEEN_NUMBERS:
            yield numbers
            numbers = []


def _names_right_before(kinds: Sequence[Kind], number: int) -> list[int]:
    """Return the positions of names right before a number: "an accuracy of about 0.951"."""
    name = _skip(kinds, number, BACK, _AFTER_NAME)
    return _listed(kinds, name) if kinds[name] is Kind.NAME else []


def _names_in_subject(kinds: Sequence[Kind], number: int) -> list[int]:
    """Return the positions of names in the subject of a verb: "the accuracy on the test set is 0.951".

    A part between two commas, or in brackets, is skipped: "the accuracy, measured on new data, is 0.951",
    "the accuracy (mean ± SD) is 0.951". Names in brackets count: "the area under the curve (AUC) is 0.984".
    """
    position = _skip(kinds, number, BACK, _AFTER_VERB)
    if kinds[position] not in {Kind.VERB, Kind.EQUALS}:
        return []
    names: list[int] = []
    while kinds[position] not in _NOT_IN_SUBJECT:
        if kinds[position] is Kind.NAME:
            names.append(position)
        if kinds[position] is Kind.COMMA:
            position = _skip(kinds, position, BACK, _BETWEEN_COMMAS)
            if kinds[position] is not Kind.COMMA:
                break
        if kinds[position] is Kind.CLOSE:
            opening = _skip(kinds, position, BACK, _BETWEEN_BRACKETS)
            if kinds[opening] is Kind.OPEN:
                position = opening
        position -= 1
    if names:
        names += _listed(kinds, names[-1])
    return sorted(set(names))


def _listed(kinds: Sequence[Kind], name: int) -> list[int]:
    """Return the positions of all names of the list that a name is in: "accuracy, F1 and the AUC"."""
    names = [name]
    for step in (BACK, AHEAD):
        beside = _beside(kinds, name, step)
        while beside is not None:
            names.append(beside)
            beside = _beside(kinds, beside, step)
    return sorted(names)


def _beside(kinds: Sequence[Kind], name: int, step: int) -> int | None:
    """Return the position of the next name of a list in the direction of `step`; None if the list ends."""
    beside = _skip(kinds, name, step, _BETWEEN_NAMES)
    if kinds[beside] is not Kind.NAME:
        return None
    between = kinds[min(name, beside) : max(name, beside)]
    if Kind.ARTICLE in between and Kind.AND not in between:
        return None  # "for accuracy, the AUC is 0.984"
    if step == BACK and kinds[_skip(kinds, beside, BACK, _AFTER_NUMBERS)] is Kind.NUMBER:
        return None  # "0.951 accuracy, and the AUC is 0.984"
    return beside


def _names_right_after(kinds: Sequence[Kind], number: int) -> list[int]:
    """Return the positions of names right after a number, without a name that has its own number after it."""
    name = _skip(kinds, number, AHEAD, _AFTER_NUMBERS)
    if kinds[name] is not Kind.NAME:
        return []
    names = _listed(kinds, name)
    after = _skip(kinds, names[-1], AHEAD, {*_AFTER_NAME, Kind.VERB, Kind.EQUALS})
    if kinds[after] is Kind.NUMBER:
        names.pop()
    return names


def _is_of_something_else(kinds: Sequence[Kind], number: int) -> bool:
    """Return true if a number belongs to something that is no metric: "a dropout of about 0.5", "p = 0.5"."""
    before = _skip(kinds, number, BACK, {Kind.ABOUT})
    if kinds[before] is Kind.OF:
        return kinds[before - 1] in {Kind.WORD, Kind.QUANTITY}
    return kinds[before] is Kind.EQUALS


def _is_part_of_quantity(kinds: Sequence[Kind], names: list[int]) -> bool:
    """Return true if names are part of another quantity: "the gain in test accuracy", "the accuracy gap"."""
    if kinds[names[-1] + 1] is Kind.QUANTITY:
        return True
    before = _skip(kinds, names[0], BACK, {Kind.ARTICLE, Kind.QUALIFIER})
    if kinds[before] not in {Kind.IN, Kind.OF}:
        return False
    return kinds[_skip(kinds, before, BACK, {Kind.QUALIFIER})] is Kind.QUANTITY


_TOKEN = re.compile(
    rf"(?P<citation>{_CITATION.pattern})|(?P<number>{NUMBER_IN_TEXT.pattern})"
    r"|(?P<word>[^\W\d_][^\W_]*)|(?P<mark>[^\w\s-])"
)
# Abbreviations whose full stop does not end a sentence.
_ABBREVIATIONS = ("al", "cf", "vs", "ca", r"e\.g", r"i\.e", "resp", "approx")
_NOT_ABBREVIATED = "".join(rf"(?<!\b{word}\.)" for word in _ABBREVIATIONS)
_SENTENCE_END = re.compile(rf"(?<=[.!?]){_NOT_ABBREVIATED}\s+(?=[^a-z\s])")


@dataclass(frozen=True)
class Token:
    """A word, number or mark of a sentence.

    Attributes:
        kind: its function between a name and a number.
        start: the position of its first character in the sentence.
        text: its characters.
        word: the word in canonical form; empty for a number or mark.
        keys: the metrics that it means, if it is a name.
    """

    kind: Kind
    start: int
    text: str
    word: str = ""
    keys: frozenset[str] = frozenset()


# The token that is added before and after a sentence.
_EDGE = Token(Kind.CLAUSE, -1, "")


def _tokens(text: str) -> Iterator[Token]:
    """Yield the words, numbers and marks of a sentence, without marks that have no function here."""
    for match in _TOKEN.finditer(text):
        kind = _kind_of(match)
        if kind:
            word = canonical(match[0]) if match["word"] else ""
            yield Token(kind, match.start(), match[0], word)


def _kind_of(match: re.Match[str]) -> Kind | None:
    if match["citation"]:
        return Kind.CITATION
    if match["number"]:
        return _kind_of_number(bare_number(match["number"]))
    if match["mark"]:
        return _KIND_OF.get(match["mark"])
    return _kind_of_word(match["word"].casefold())


def _kind_of_number(number: str) -> Kind:
    if YEAR.fullmatch(number):
        return Kind.WORD
    return Kind.WHOLE if number.isdecimal() else Kind.NUMBER


def _kind_of_word(word: str) -> Kind:
    if word in _KIND_OF:
        return _KIND_OF[word]
    if len(word) == 1:
        return Kind.QUANTITY  # a variable, as in "p < 0.001"
    return Kind.QUALIFIER if canonical(word) in _QUALIFIERS else Kind.WORD


def _cited(tokens: Iterable[Token]) -> set[int]:
    """Return the starts of all tokens that are in the same part of the sentence as a citation."""
    cited: set[int] = set()
    part: list[Token] = []
    for token in [*tokens, _EDGE]:
        if token.kind not in _ENDS_PART:
            part.append(token)
            continue
        if Kind.CITATION in {member.kind for member in part}:
            cited.update(member.start for member in part)
        part = []
    return cited


class Sentence:
    """A sentence.

    Attributes:
        numbers: its numbers with enough significant digits.
        context: its words in canonical form, and all its numbers as they are written.
    """

    def __init__(self, text: str, offset: int, passage: Passage) -> None:
        """Read a sentence.

        Args:
            text: the text of the sentence, with blanks in place of digits that are not a measured number.
            offset: the position of the sentence in its passage.
            passage: the passage, with its original text.
        """
        self._tokens = list(_tokens(text))
        # The numbers, by the start of their token.
        self._written: dict[int, WrittenNumber] = {}
        cited = _cited(self._tokens)
        context: set[str] = set()
        shown = passage.text[offset : offset + len(text)]
        for token in self._tokens:
            if token.word:
                context.add(token.word)
            if token.kind not in {Kind.NUMBER, Kind.WHOLE}:
                continue
            number = bare_number(token.text)
            context.add(number)
            quoted = significant(number)
            if quoted:
                place = passage.place_at(offset + token.start)
                words = _words_around(shown, token.start, token.start + len(token.text))
                self._written[token.start] = WrittenNumber(place, number, words, quoted, token.start in cited)
        self.numbers = list(self._written.values())
        self.context = frozenset(context)

    def named(self, names: Names) -> Iterator[tuple[WrittenNumber, frozenset[str]]]:
        """Yield each of `numbers` with the metrics that the sentence names for it."""
        tokens = self._with_names(names)
        keys: dict[int, frozenset[str]] = {}
        # Whole numbers are taken for words first, as in "on 114 samples it is 0.951". Numbers that get no
        # name in this way may get one when whole numbers count as numbers.
        for whole in (Kind.WORD, Kind.NUMBER):
            kinds = [whole if token.kind is Kind.WHOLE else token.kind for token in tokens]
            for numbers, positions in names_of_numbers(kinds):
                meant = [tokens[position].keys for position in positions]
                for number in numbers:
                    keys.setdefault(tokens[number].start, frozenset().union(*meant))
        for start, written in self._written.items():
            yield written, keys.get(start, frozenset())

    def _with_names(self, names: Names) -> list[Token]:
        """Return the tokens with each name of a metric as a single token, between two tokens `_EDGE`."""
        words = [token.word for token in self._tokens]
        tokens = [_EDGE]
        position = 0
        for start, end, keys in names.find(words, self.context):
            tokens += self._tokens[position:start]
            tokens.append(replace(self._tokens[start], kind=Kind.NAME, keys=keys))
            position = end
        return [*tokens, *self._tokens[position:], _EDGE]


# Tables


@dataclass(frozen=True)
class _Cell:
    """A number of a table.

    Attributes:
        written: the number.
        row: the cells of its row.
        head: the heads of its column, as one text.
        column: the position of its column.
    """

    written: WrittenNumber
    row: list[str]
    head: str
    column: int


class Table:
    """A table whose first rows and first column say what its numbers are.

    Attributes:
        numbers: its numbers with enough significant digits.
        context: the words of its caption and heads in canonical form, and the numbers in these.
    """

    def __init__(self, passage: Passage) -> None:
        self._caption = passage.text
        self._heads: list[list[str]] = []
        self._cells: list[_Cell] = []
        place = passage.place_at(0)
        heads = [self._caption]
        for cells in passage.rows or ():
            row = [only_measured(cell) for cell in cells]
            # A row without a head begins with a number.
            first = 0 if _has_significant(row[0]) else 1
            # All rows before the first one with a number are head rows.
            if not self._cells and not any(map(_has_significant, row[first:])):
                self._heads.append(row)
                heads += row
                continue
            heads.append(row[0])
            for column in range(first, len(row)):
                self._cells += self._read_cell(row, column, place)
        self.numbers = [cell.written for cell in self._cells]
        self.context = frozenset(map(canonical, re.findall(r"[^\W_]+(?:\.\d+)?", " ".join(heads))))

    def _read_cell(self, row: list[str], column: int, place: str) -> Iterator[_Cell]:
        head = self._head(row, column)
        row_head = row[0].strip() if column else ""
        words = " | ".join(filter(None, [row_head, head.strip()]))
        is_cited = _CITATION.search(f"{row[0]} {head}") is not None
        for match in NUMBER_IN_TEXT.finditer(row[column]):
            text = bare_number(match[0])
            # A percent sign in the head of a column applies to all its numbers.
            is_percent = "%" in head and "%" not in text
            quoted = significant(f"{text}%" if is_percent else text)
            if quoted:
                written = WrittenNumber(place, text, words[: BEFORE + AFTER], quoted, is_cited)
                yield _Cell(written, row, head, column)

    def _head(self, row: list[str], column: int) -> str:
        """Return the heads of a column. A head row with a different number of cells counts as a whole."""
        parts = []
        for head in self._heads:
            parts.append(head[column] if len(head) == len(row) else " ".join(head))
        return " ".join(parts)

    def named(self, names: Names) -> Iterator[tuple[WrittenNumber, frozenset[str]]]:
        """Yield each of `numbers` with the metrics that its heads, or else the caption, name for it."""
        for cell in self._cells:
            context = frozenset(_words(f"{cell.row[0]} {cell.head} {self._caption}"))
            found = self._in_head(cell, names, context) + _names_in(cell.row[0], names, context)
            if not found:
                found = _names_in(self._caption, names, context)
            yield cell.written, frozenset().union(*found)

    def _in_head(self, cell: _Cell, names: Names, context: frozenset[str]) -> list[frozenset[str]]:
        """Return the metrics of each name in the heads of a cell's column."""
        found = _names_in(cell.head, names, context)
        columns = len(cell.row)
        is_one_line = len(self._heads) == 1 and len(self._heads[0]) != columns
        if is_one_line and len(found) == columns - 1:
            # The only head row was read as one text, and it has as many names as there are columns after the
            # first. So each name belongs to one column.
            return found[cell.column - 1 : cell.column]
        return found


def _has_significant(text: str) -> bool:
    return any(significant(match[0]) for match in NUMBER_IN_TEXT.finditer(text))


def _words(text: str) -> list[str]:
    """Return the words of a text in canonical form, with an empty word for each mark between them."""
    words = []
    for part in re.findall(r"[^\W_]+|[^\w\s-]", text):
        words.append(canonical(part) if part[0].isalnum() else "")
    return words


def _names_in(text: str, names: Names, context: frozenset[str]) -> list[frozenset[str]]:
    """Return the metrics of each name in a head or caption."""
    return [keys for _, _, keys in names.find(_words(text), context)]


Unit = Sentence | Table


def units_of(passages: Iterable[Passage]) -> Iterator[Unit]:
    """Yield the sentences and tables of a manuscript."""
    for passage in passages:
        if passage.rows is not None:
            yield Table(passage)
            continue
        text = only_measured(passage.text)
        start = 0
        while start < len(text):
            end = _SENTENCE_END.search(text, start, start + LONGEST_SENTENCE)
            stop = end.end() if end else start + LONGEST_SENTENCE
            yield Sentence(text[start:stop], start, passage)
            start = stop
