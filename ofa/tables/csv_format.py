"""The CSV file of a latency table, schema 1: read with every fault named by file, line and column, and written."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.blocks import BLOCK_FIELDS, Block, block_row
from ofa.errors import InputError
from ofa.runs.files import replace_file
from ofa.tables.row import TableRow
from ofa.tables.shipped import shipped_hint

SCHEMA = "1"
_OPTIONAL_COLUMNS = ("mad_ms", "std_ms", "p90_ms", "runs", "energy_mj", "visits_ms")
_COLUMNS = (*BLOCK_FIELDS, "latency_ms", *_OPTIONAL_COLUMNS)
_INTEGER_FIELDS = ("in_size", "in_channels", "mid_channels", "out_channels", "kernel_size", "stride")


def read_csv(path: Path) -> tuple[dict[str, str], list[TableRow]]:
    """The header and the rows; InputError names file:line:column of the first fault."""
    if not path.is_file():
        raise InputError(f"{path}: no such latency table{shipped_hint()}")
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a latency table: byte {error.start} is not UTF-8 text") from None
    if not text.endswith("\n"):
        raise InputError(f"{path}:{text.count(chr(10)) + 1}: the file is cut off: its last line has no end")
    lines = text.split("\n")[:-1]
    header: dict[str, str] = {}
    start = 0
    for start, line in enumerate(lines):
        if not line.startswith("#"):
            break
        key, colon, value = line[1:].partition(":")
        if not colon:
            raise InputError(f"{path}:{start + 1}: header line {line!r} is not '# key: value'")
        if key.strip() in header:
            raise InputError(f"{path}:{start + 1}: header key {key.strip()!r} appears twice")
        header[key.strip()] = value.strip()
    if header.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: schema is {header.get('schema', 'not stated')}, this version reads schema {SCHEMA}: "
            "a table starts with '# schema: 1'"
        )
    rows = _parse_rows(path, lines, start)
    if header.get("rows", str(len(rows))) != str(len(rows)):
        raise InputError(f"{path}: the header says {header['rows']} rows, the file has {len(rows)}: it is cut off")
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


def _parse_rows(path: Path, lines: list[str], start: int) -> list[TableRow]:
    """The rows after the header lines; `start` is the index of the line that names the columns."""
    columns = lines[start].split(",") if start < len(lines) and not lines[start].startswith("#") else []
    for column in (*BLOCK_FIELDS, "latency_ms"):
        if column not in columns:
            raise InputError(f"{path}:{start + 1}: column {column} is missing, expected {','.join(_COLUMNS)}")
    for position, column in enumerate(columns):
        if column not in _COLUMNS or column in columns[:position]:
            what = "twice" if column in columns[:position] else "unknown"
            raise InputError(f"{path}:{start + 1}: column {column!r} is {what}, expected {','.join(_COLUMNS)}")
    rows: list[TableRow] = []
    line_of: dict[Block, int] = {}
    for number, line in enumerate(lines[start + 1 :], start=start + 2):
        cells = next(csv.reader([line]), [])
        if len(cells) != len(columns):
            raise InputError(f"{path}:{number}: {len(cells)} fields, expected {len(columns)} ({','.join(columns)})")
        values: dict[str, Any] = {}
        for position, (column, cell) in enumerate(zip(columns, cells, strict=True)):
            try:
                values[column] = _parse_cell(column, cell)
            except ValueError as error:
                place = len(",".join(cells[:position])) + (position > 0) + 1
                raise InputError(f"{path}:{number}:{place}: {error}") from None
        try:
            block = Block(**{field: values.pop(field) for field in BLOCK_FIELDS})
            row = TableRow(block, **values)
        except InputError as error:
            # the message starts with the field's name: point at its column
            field = str(error).split(" ", 1)[0]
            position = columns.index(field) if field in columns else 0
            place = len(",".join(cells[:position])) + (position > 0) + 1
            raise InputError(f"{path}:{number}:{place}: {error}") from None
        if block in line_of:
            raise InputError(f"{path}:{number}: block {block} is already on line {line_of[block]}")
        line_of[block] = number
        rows.append(row)
    return rows


def _cell(value: Any) -> Any:
    """A value as the csv module is to write it."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else value


def _parse_cell(column: str, cell: str) -> Any:
    if column in ("op", "activation"):
        return cell
    if column in ("squeeze_excite", "skip"):
        if cell not in ("0", "1"):
            raise ValueError(f"{column} is {cell!r}, expected 0 or 1")
        return cell == "1"
    if column in _OPTIONAL_COLUMNS and cell == "":
        return None
    if column == "visits_ms":
        try:
            return tuple(map(float, cell.split()))
        except ValueError:
            raise ValueError(f"{column} is {cell!r}, expected numbers with spaces between") from None
    kind, what = (int, "a whole number") if column in (*_INTEGER_FIELDS, "runs") else (float, "a number")
    try:
        return kind(cell)
    except ValueError:
        raise ValueError(f"{column} is {cell!r}, expected {what}") from None
