"""Names that a store refuses, as it takes them: readable, and never the same for two of them. Pure."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256

# Of a name's hash, which tells it from others that would become the same.
DIGITS = 8


@dataclass(frozen=True)
class Rule:
    """Which names a store takes.

    Attributes:
        takes: whether it takes a name, of whatever length.
        longest: how long a name it takes.
        size: how long a name is; in characters by default.
        replace: what stands for a character that it does not take; `_` by default.
    """

    takes: Callable[[str], bool]
    longest: int
    size: Callable[[str], int] = len
    replace: Callable[[str], str] = field(default=lambda _: "_")

    def allows(self, name: str) -> bool:
        """Return whether a name can stay as it is."""
        return self.size(name) <= self.longest and is_storable(name) and self.takes(name)


@dataclass(frozen=True)
class NameRules:
    """The rules of a store, by what is named."""

    param: Rule
    metric: Rule
    tag: Rule
    model: Rule
    dataset: Rule
    artifact: Rule


class Names:
    """Names of one kind in one run, as a store takes them.

    A name that the store takes stays as it is, and the others do not depend on their order.

    Args:
        rule: of the store.
        names: all that there are.
    """

    def __init__(self, rule: Rule, names: Iterable[str]) -> None:
        self._rule = rule
        self._allowed: dict[str, str] = {}
        refused = []
        for name in dict.fromkeys(names):
            if rule.allows(name):
                self._allowed[name] = name
            else:
                refused.append(name)
        self._taken = set(self._allowed)
        for name in sorted(refused):
            self._allowed[name] = self._rename(name)
            self._taken.add(self._allowed[name])

    def __getitem__(self, name: str) -> str:
        return self._allowed.get(name, name)

    def _rename(self, name: str) -> str:
        readable = self._readable(name)
        if self._rule.allows(readable) and readable not in self._taken:
            return readable
        digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
        begin = readable
        while self._rule.size(begin) > self._rule.longest - DIGITS - 1:
            begin = begin[:-1]
        return f"{begin} {digest}"

    def _readable(self, name: str) -> str:
        """Return the name without the characters that the store does not take between others."""
        characters = []
        for each in name:
            characters.append(each if self._takes(f"a{each}a") else self._rule.replace(each))
        readable = "".join(characters)
        if self._rule.takes(readable):
            return readable
        # A name that would be a path to somewhere else.
        return re.sub(r"[/.]", "_", readable) or "_"

    def _takes(self, text: str) -> bool:
        return is_storable(text) and self._rule.takes(text)


def is_storable(text: str) -> bool:
    """Whether databases take a text: no bytes that are not UTF-8, as file names may have, and no NUL."""
    return storable(text) == text


def storable(text: str) -> str:
    """Return a text as databases take it."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
