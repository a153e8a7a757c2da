"""All that is wrong with a file, said at once: with line, key and what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from ofa.errors import InputError
from ofa.reading.numbers import cut, short

Key: TypeAlias = tuple[str | int, ...]  # ("units", 2, "stride")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_TABLE = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]\]?\s*(#.*)?")
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=")
_ROOM, _LONGEST = 160, 390  # characters of one problem, and of a message beside the file's name


class ManyProblems(InputError):
    """As text the problems that a message holds; `problems` are all, each with the file and line."""

    def __init__(self, text: str, problems: tuple[str, ...]) -> None:
        super().__init__(text)
        self.problems = problems


class Problems:
    """Collects what is wrong with a file.

    where: its name, for the message; lines: of its keys, where they are known
    """

    def __init__(self, where: object, lines: Mapping[Key, int] | None = None) -> None:
        self._where, self._lines = where, dict(lines or {})
        self._found: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, key: Key, words: str) -> None:
        """words: the whole sentence, such as "stride is 3, expected 1 or 2", of a key or of what stands around it."""
        self._found.append((self._line(key), cut(words, _ROOM)))

    @contextmanager
    def at(self, key: Key) -> Iterator[None]:
        """Takes up an InputError."""
        try:
            yield
        except InputError as error:
            self.add(key, str(error))

    def raise_any(self) -> None:
        """InputError with all problems, by line; of more than its text holds, that has the first and their number."""
        if not self._found:
            return
        found = sorted(dict.fromkeys(self._found), key=lambda problem: problem[0])
        whole = tuple(f"{self._where}{f':{line}' * bool(line)}: {words}" for line, words in found)
        if len(found) == 1:
            raise ManyProblems(whole[0], whole)
        text = f"{len(found)} problems"
        for number, (line, words) in enumerate(found):
            entry = f"{f'line {line}: ' * bool(line)}{words}"
            if len(text) + len(entry) > _LONGEST - 20:
                text = f"{text}; and {len(found) - number} more"
                break
            text += f"{'; ' if number else ': '}{entry}"
        raise ManyProblems(f"{self._where}: {text}", whole)

    def _line(self, key: Key) -> int:
        """Of the key, or of the table that it stands in; 0 where neither is known."""
        return next((line for n in range(len(key), 0, -1) if (line := self._lines.get(key[:n], 0))), 0)


def named(key: Key) -> str:
    """A key as "units[2].stride". What a file puts into it is escaped."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(r"[A-Za-z0-9_-]{1,60}", part) is not None
            text += ("." if text else "") + (part if plain else short(part))
    return text


def toml_lines(text: str) -> dict[Key, int]:
    """The line of every key that stands at the beginning of one, and of every table; tomllib does not tell.

    Keys inside of inline tables are not found. The text need not be valid.
    """
    lines: dict[Key, int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: Key = ()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if heading := _TABLE.fullmatch(line):
            names = _parts(heading[2])
            table = names
            if heading[1] == "[[":
                counts[names] = counts.get(names, -1) + 1
                table = (*names, counts[names])
            lines.setdefault(table, number)
            lines.setdefault(names, number)
        elif assignment := _ASSIGNMENT.match(line):
            key = (*table, *_parts(assignment[1]))
            for end in range(len(table) + 1, len(key) + 1):  # "stem.channels = 16" begins the table "stem", too
                lines.setdefault(key[:end], number)
    return lines


def _parts(key: str) -> tuple[str, ...]:
    """Of a key as it is written, dotted and quoted or not; escapes in quotes are left as they stand."""
    return tuple(part.strip("\"'") for part in re.findall(_PART, key))
