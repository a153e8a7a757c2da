"""The CSV file of a latency table, schema 1: read with every fault named by file, line and column, and written."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.blocks import BLOCK_FIELDS, Block, block_row
from ofa.errors import InputError
from ofa.reading.csv_text import CsvText, Row, near_miss, read_csv_text
from ofa.reading.files import refuse_endless
from ofa.reading.kinds import TABLE, wrong_kind
from ofa.reading.numbers import CHANNELS, COUNT, MILLIJOULES, MILLISECONDS, SIZE, SPREAD_MS, cut, short
from ofa.runs.files import replace_file
from ofa.tables.row import TableRow
from ofa.tables.shipped import shipped_hint

SCHEMA = "1"
_OPTIONAL_COLUMNS = ("warm_ms", "mad_ms", "std_ms", "p90_ms", "runs", "energy_mj", "visits_ms")
_COLUMNS = (*BLOCK_FIELDS, "latency_ms", *_OPTIONAL_COLUMNS)
_WHOLE = {
    "in_size": SIZE,
    "in_channels": CHANNELS,
    "mid_channels": CHANNELS,
    "out_channels": CHANNELS,
    "kernel_size": SIZE,
    "stride": SIZE,
    "runs": COUNT,
}


def read_csv(path: Path) -> tuple[dict[str, str], list[TableRow]]:
    """The header and the rows; InputError names file:line:column of the first fault."""
    refuse_endless(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected a latency table")
    if not path.is_file():
        raise InputError(f"{path}: no such latency table{shipped_hint(path.stem)}")
    if wrong := wrong_kind(path, (TABLE,)):
        raise InputError(f"{path} {wrong}")
    text = read_csv_text(path, "a latency table")
    header = text.header
    if header.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: schema is {cut(header.get('schema', 'not stated'))}, this version reads schema {SCHEMA}: "
            "a table starts with '# schema: 1'"
        )
    rows = _parse_rows(path, text)
    if "rows" in header and COUNT.integer(f"{path}: header rows", header["rows"]) != len(rows):
        raise InputError(f"{path}: the header states {header['rows']} rows, the file has {len(rows)}: it is cut off")
    return header, rows


def write_csv(path: Path, header: Mapping[str, str], rows: Sequence[TableRow]) -> None:
    """Writes a temporary file that is then renamed: never half a table."""
    columns = columns_of(rows)

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            for key, value in {"schema": SCHEMA, **header, "rows": str(len(rows))}.items():
                file.write(f"# {key}: {value}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in rows:
                rest = (getattr(row, c) for c in columns[len(BLOCK_FIELDS) :])
                writer.writerow((*block_row(row.block), *map(_cell, rest)))

    replace_file(path, write)


def columns_of(rows: Sequence[TableRow]) -> list[str]:
    """The columns that these rows need: an optional one only where some row has it."""
    return [c for c in _COLUMNS if c not in _OPTIONAL_COLUMNS or any(getattr(row, c) is not None for row in rows)]


def _parse_rows(path: Path, text: CsvText) -> list[TableRow]:
    for column in (*BLOCK_FIELDS, "latency_ms"):
        if column not in text.columns:
            raise InputError(f"{path}:{text.columns_line}: column {column} is missing, expected {','.join(_COLUMNS)}")
    for column in text.columns:
        if column not in _COLUMNS:
            meant = near_miss(column, _COLUMNS)
            hint = f"did you mean {meant}?" if meant else f"expected {','.join(_COLUMNS)}"
            raise InputError(f"{path}:{text.columns_line}: column {short(column)} is unknown, {hint}")
    parsers = [(column, _parser(column)) for column in text.columns if column not in BLOCK_FIELDS]
    rows: list[TableRow] = []
    place_of: dict[Block, str] = {}
    for line in text.rows:
        cells = line.cells
        try:
            block = _block(tuple(map(cells.__getitem__, BLOCK_FIELDS)))
            row = TableRow(block, **{column: parse(cells[column]) for column, parse in parsers})
        except InputError:
            raise _fault(line) from None
        if block in place_of:
            raise InputError(f"{line.place}: block {block} is already on line {place_of[block].rpartition(':')[2]}")
        place_of[block] = line.place
        rows.append(row)
    return rows


def _fault(line: Row) -> InputError:
    """What is wrong with a row: its first cell that cannot be read, or what its cells together cannot be."""
    values: dict[str, Any] = {}
    for column, cell in line.cells.items():
        try:
            values[column] = _parser(column)(cell)
        except InputError as error:
            return InputError(f"{line.where(column)}: {error}")
    try:
        TableRow(Block(**{field: values.pop(field) for field in BLOCK_FIELDS}), **values)
    except InputError as error:
        # the message starts with the field's name: point at its column
        return InputError(f"{line.where(str(error).split(' ', 1)[0])}: {error}")
    raise AssertionError(f"{line.place} can be read")


def _cell(value: Any) -> Any:
    """A value as the csv module is to write it."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else value


def _parser(column: str) -> Callable[[str], Any]:
    """What reads the cells of a column."""
    if column in ("op", "activation"):
        return str
    if column in ("squeeze_excite", "skip"):
        return functools.partial(_yes_or_no, column)
    if column == "visits_ms":
        return lambda cell: tuple(MILLISECONDS.decimal(column, each) for each in cell.split(" ")) if cell else None
    if column in _WHOLE:
        read: Callable[[str, str], Any] = _WHOLE[column].integer
    else:
        bounds = {"latency_ms": MILLISECONDS, "warm_ms": MILLISECONDS, "energy_mj": MILLIJOULES}
        read = bounds.get(column, SPREAD_MS).decimal
    if column in _OPTIONAL_COLUMNS:
        return lambda cell: read(column, cell) if cell else None
    return functools.partial(read, column)


def _yes_or_no(column: str, cell: str) -> bool:
    if cell not in ("0", "1"):
        raise InputError(f"{column} is {short(cell)}, expected 0 or 1")
    return cell == "1"


# a process reads several tables of one space
@functools.lru_cache(maxsize=1 << 14)
def _block(cells: tuple[str, ...]) -> Block:
    """The block of a row's cells, in the order of BLOCK_FIELDS."""
    return Block(**{field: _BLOCK_PARSERS[field](cell) for field, cell in zip(BLOCK_FIELDS, cells, strict=True)})


# their cells are a few hundred values, again and again
_BLOCK_PARSERS = {field: functools.lru_cache(maxsize=1024)(_parser(field)) for field in BLOCK_FIELDS}
