"""CSV with `# key: value` lines before it, as all our tables are: the one reader, faults by file, line and column."""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ofa.errors import InputError
from ofa.reading.numbers import cut, short
from ofa.reading.structured import content_of

MOST_UNPACKED = 256 * 2**20


@dataclass(frozen=True)
class Row:
    """One line of a table.

    cells: by column
    place: "file:line", where it begins
    """

    place: str
    cells: dict[str, str]

    def where(self, column: str) -> str:
        """ "file:line:character", where a column's cell begins; the line alone where it has no such column."""
        before = list(self.cells)
        if column not in before:
            return self.place
        cells = [self.cells[name] for name in before[: before.index(column)]]
        return f"{self.place}:{len(','.join(cells)) + bool(cells) + 1}"


@dataclass(frozen=True)
class CsvText:
    """A file as text.

    header: the `# key: value` lines before the columns, if they were asked for
    comments: all lines that begin with #, without their end
    columns: names in the file's order, each once
    columns_line: its number in the file, from 1
    rows: those after the columns; blank lines and comments are left out
    """

    header: dict[str, str]
    comments: tuple[str, ...]
    columns: tuple[str, ...]
    columns_line: int
    rows: tuple[Row, ...]


def read_text(path: Path, what: str, *, ended: bool = True) -> str:
    """A file's text, lines ended by \\n, unpacked if it is a gzip file. what: such as "a latency table", for messages.

    ended: whether the last line must have its end, as in whatever we write: a file that lacks it was cut off
    InputError where it is absent, not UTF-8, or has lone carriage returns or zero bytes.
    """
    content = _unpacked(path, content_of(path))
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise InputError(f"{path}: not {what}: it is UTF-16 text: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not {what}: byte {error.start} is not UTF-8 text") from None
    for character, name in (("\r", "a carriage return alone"), ("\0", "a zero byte")):
        if character in text:
            line = text.count("\n", 0, text.index(character)) + 1
            raise InputError(f"{path}:{line}: not {what}: {name} is in it")
    if not text.strip():
        raise InputError(f"{path}: not {what}: it is empty")
    if not text.endswith("\n") and not ended:
        return text + "\n"
    if not text.endswith("\n"):
        raise InputError(f"{path}:{text.count(chr(10)) + 1}: the file is cut off: its last line has no end")
    return text


def _unpacked(path: Path, content: bytes) -> bytes:
    """What a gzip file holds, at most 256 MiB of it; anything else as it is."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            text = file.read(MOST_UNPACKED + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path}: damaged: it begins as a gzip file does, and is none") from None
    if len(text) > MOST_UNPACKED:
        raise InputError(f"{path}: unpacks to more than {MOST_UNPACKED / 2**20:.0f} MiB, which no such file has")
    return text


def read_csv_text(path: Path, what: str, *, header: bool = True, ended: bool = True) -> CsvText:
    """Reads and checks a file's form; see `read_text`.

    header: whether the lines with # at its beginning must be `# key: value`
    """
    lines = read_text(path, what, ended=ended).split("\n")[:-1]
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    facts = _header(path, lines[:start]) if header else {}
    comments = tuple(line for line in lines if line.startswith("#"))
    if start == len(lines):
        raise InputError(f"{path}:{start}: not {what}: no line names its columns")
    _refuse_spreadsheet(f"{path}:{start + 1}", lines[start])
    table = _records(path, lines, start)
    number, columns = next(table)
    for position, column in enumerate(columns):
        if column in columns[:position]:
            raise InputError(f"{path}:{number}: column {short(column)} is twice")
    rows = []
    for number, cells in table:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}:{number}: {len(cells)} fields, expected {len(columns)} ({cut(','.join(columns), 120)})"
            )
        rows.append(Row(f"{path}:{number}", dict(zip(columns, cells, strict=True))))
    return CsvText(facts, comments, tuple(columns), start + 1, tuple(rows))


@lru_cache(maxsize=1024)  # every table has the same few keys, and each takes as long to look up as ten rows to read
def near_miss(key: str, known: tuple[str, ...]) -> str | None:
    """The known key that this one was meant to be; None where it is known, or like none of them."""
    if key in known:
        return None
    plain = {_plain(name): name for name in known}
    if _plain(key) in plain:
        return plain[_plain(key)]
    close = difflib.get_close_matches(_plain(key), plain, 1, 0.88)
    return plain[close[0]] if close else None


def _plain(key: str) -> str:
    return key.casefold().replace("-", "_").replace(" ", "_").strip("_")


def _refuse_spreadsheet(place: str, line: str) -> None:
    """InputError where the line of the columns shows that a spreadsheet wrote the file in a form of its own."""
    if line.startswith('"#'):
        raise InputError(f"{place}: a header line is in quotes, as spreadsheets save it: take the quotes away")
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if line.count(separator) > line.count(","):
            raise InputError(
                f"{place}: {name} separate its columns, as some spreadsheets save them: expected commas, and decimal "
                "points"
            )


def _header(path: Path, lines: Sequence[str]) -> dict[str, str]:
    header: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, colon, value = line[1:].partition(":")
        if not colon:
            raise InputError(f"{path}:{number}: header line {short(line)} is not '# key: value'")
        if key.strip() in header:
            raise InputError(f"{path}:{number}: header key {short(key.strip())} appears twice")
        header[key.strip()] = value.strip().rstrip(",")  # a spreadsheet fills all lines up to as many columns
    return header


def _records(path: Path, lines: Sequence[str], start: int) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every record; a quoted cell may go over several lines."""
    number = start  # of the last line taken

    def taken() -> Iterator[str]:
        nonlocal number
        for number in range(start + 1, len(lines) + 1):
            line = lines[number - 1]
            if line.strip() and not line.startswith("#"):
                yield line + "\n"

    reader = csv.reader(taken(), strict=True)
    try:
        for cells in reader:
            yield number, cells
    except csv.Error as error:
        raise InputError(f"{path}:{number}: not CSV: {error}") from None
