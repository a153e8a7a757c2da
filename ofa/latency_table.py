"""Latency lookup tables: what each block takes on one device, and so what any sub-network takes.

A table is a CSV file (`pandas.read_csv(path, comment="#")` reads it): `# key: value` header lines that
say where it comes from, then one row a block. A sub-network's latency is the sum over its blocks
(Cai et al. 2020, section 3.3). Blocks at an unmeasured size are interpolated between the measured sizes on
both sides (`ofa.interpolation`); what rests on that says so.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import BLOCK_FIELDS, OPS, Block, block_row
from ofa.errors import InputError
from ofa.interpolation import Interpolation
from ofa.latency_lookup import Coverage, LatencyLookup
from ofa.runs.files import replace_file
from ofa.space import Genes, SearchSpace, Subnet
from ofa.sum_correction import SumCorrection

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "1"
PROVENANCES = ("measured", "estimated", "imported")
_REQUIRED_HEADER = ("device", "runtime", "provenance", "space", "source")
_OPTIONAL_COLUMNS = ("mad_ms", "std_ms", "p90_ms", "runs", "energy_mj", "visits_ms")
_COLUMNS = (*BLOCK_FIELDS, "latency_ms", *_OPTIONAL_COLUMNS)
_INTEGER_FIELDS = ("in_size", "in_channels", "mid_channels", "out_channels", "kernel_size", "stride")


@dataclass(frozen=True)
class TableRow:
    """One block's latency on the device.

    latency_ms: median of the runs for measured tables; what the source gives (a mean, say) for imported ones
    mad_ms, std_ms: median absolute deviation, standard deviation of the runs
    p90_ms: 90th percentile of the runs
    runs: how many
    energy_mj: millijoules a run, where the device tells
    visits_ms: median of the runs of each visit, far apart in time: the samples that are independent; none in a
        table that has the column: all visits were disturbed, the figure is doubtful
    """

    block: Block
    latency_ms: float
    mad_ms: float | None = None
    p90_ms: float | None = None
    runs: int | None = None
    energy_mj: float | None = None
    std_ms: float | None = None
    visits_ms: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latency_ms) and self.latency_ms > 0):
            raise InputError(f"latency_ms is {self.latency_ms}, expected a positive number")
        for field in ("mad_ms", "std_ms", "p90_ms", "energy_mj"):
            value = getattr(self, field)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"{field} is {value}, expected a number of at least 0")
        if self.runs is not None and self.runs < 1:
            raise InputError(f"runs is {self.runs}, expected at least 1")
        visits = self.visits_ms
        if visits is not None and not (visits and all(math.isfinite(v) and v > 0 for v in visits)):
            raise InputError(f"visits_ms is {_cell(visits)}, expected positive numbers")


class LatencyTable:
    """Block latencies of one device. `load` reads a CSV file, `save` writes it.

    header: the `# key: value` facts; "device", "runtime", "provenance" (measured, estimated or imported),
        "space" (names, comma-separated) and "source" (what the figures rest on) must be there
    rows: one per block, each block once
    """

    def __init__(self, header: Mapping[str, str], rows: Sequence[TableRow], path: Path | None = None) -> None:
        self.header = {key: str(value) for key, value in header.items() if key not in ("schema", "rows")}
        self.rows = tuple(rows)
        self.path = path
        name = path.name if path else "latency table"
        for key in _REQUIRED_HEADER:
            if not self.header.get(key):
                raise InputError(f"{name}: header has no '# {key}: ...' line")
        if self.provenance not in PROVENANCES:
            raise InputError(f"{name}: provenance is {self.provenance!r}, expected one of {', '.join(PROVENANCES)}")
        try:
            self.sum_correction = SumCorrection.parse(self.header.get("sum_correction", "scale=1"))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        for op in self.omits:
            if op not in OPS:
                raise InputError(f"{name}: header omits {op!r}, expected some of {', '.join(OPS)}")
        for key, value in self.header.items():
            if ":" in key or not (key + value).isprintable() or key != key.strip() or value != value.strip():
                raise InputError(f"{name}: header line {key!r}: {value!r} cannot be written on one '# key: value' line")
        seen: set[Block] = set()
        for row in self.rows:
            if row.block in seen:
                raise InputError(f"{name}: block {row.block} appears twice")
            seen.add(row.block)
        if not self.rows:
            raise InputError(f"{name}: no rows")
        self._lookups: dict[SearchSpace, LatencyLookup] = {}

    @property
    def provenance(self) -> str:
        return self.header["provenance"]

    @property
    def emulated(self) -> bool:
        """Whether it was measured on an emulated device: its latencies mean nothing."""
        return self.header.get("emulated", "no") != "no"

    @property
    def device(self) -> str:
        return self.header["device"]

    @property
    def omits(self) -> tuple[str, ...]:
        """Ops that an imported table's source never listed: they count 0 ms, and whoever shows a latency says so."""
        return tuple(op.strip() for op in self.header.get("omits", "").split(",") if op.strip())

    @property
    def spaces(self) -> tuple[str, ...]:
        """Names of the spaces it was made for."""
        return tuple(name.strip() for name in self.header["space"].split(","))

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Those that the header lists, pixels: a hint at what was measured, `coverage` tells for sure."""
        return tuple(int(r) for r in self.header.get("resolutions", "").split(",") if r.strip().isdigit())

    @property
    def num_classes(self) -> int:
        """Of the classifier that it lists; 1000, ImageNet's, where it lists none or several."""
        listed = {row.block.out_channels for row in self.rows if row.block.op == "linear"}
        return listed.pop() if len(listed) == 1 else 1000

    # ---- files

    @classmethod
    def load(cls, path: str | Path) -> LatencyTable:
        """Reads and checks a table; InputError names file:line:column of the first fault."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such latency table{_shipped_hint()}")
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
        return cls(header, rows, path)

    def save(self, path: str | Path) -> None:
        """Writes the CSV, to a temporary file that is then renamed: never half a table."""
        columns = [c for c in _COLUMNS if c not in _OPTIONAL_COLUMNS or self._has(c)]

        def write(temporary: Path) -> None:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                for key, value in {"schema": SCHEMA, **self.header, "rows": str(len(self.rows))}.items():
                    file.write(f"# {key}: {value}\n")
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                for row in self.rows:
                    rest = (getattr(row, c) for c in columns[len(BLOCK_FIELDS) :])
                    writer.writerow((*block_row(row.block), *map(_cell, rest)))

        replace_file(Path(path), write)

    def _has(self, column: str) -> bool:
        return any(getattr(row, column) is not None for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame, one column a field."""
        import pandas as pd

        columns = [c for c in _COLUMNS if c not in _OPTIONAL_COLUMNS or self._has(c)]
        rest = columns[len(BLOCK_FIELDS) :]
        return pd.DataFrame(
            [(*block_row(row.block), *(getattr(row, c) for c in rest)) for row in self.rows], columns=columns
        )

    # ---- queries

    def lookup(self, space: SearchSpace) -> LatencyLookup:
        """The table compiled to index arrays for a space, made once."""
        if space not in self._lookups:
            self._lookups[space] = LatencyLookup(self, space)
        return self._lookups[space]

    def latency_ms(self, space: SearchSpace, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        """(N,) milliseconds: the sum of each sub-network's blocks, with `sum_correction`.

        InputError names blocks that the table neither holds nor can interpolate. `lookup(space).interpolated`
        tells which of the N rest on interpolated blocks.
        """
        return self.lookup(space).latency_ms(space.as_genes(subnets))

    def energy_mj(self, space: SearchSpace, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        """(N,) millijoules: the sum of each sub-network's blocks, which no correction is known for.

        InputError where blocks have no energy in the table.
        """
        return self.lookup(space).energy_mj(space.as_genes(subnets))

    def coverage(self, space: SearchSpace) -> Coverage:
        """Which resolutions of the space the table covers, and which blocks are missing for the others."""
        return self.lookup(space).coverage

    @cached_property
    def interpolation(self) -> Interpolation:
        """What the table's rows say of blocks at other sizes."""
        return Interpolation({row.block: row.latency_ms for row in self.rows})

    @cached_property
    def interpolation_error_pct(self) -> float | None:
        """Mean absolute error of interpolating one block, in per cent: see `Interpolation.error_pct`."""
        return self.interpolation.error_pct()


def find_table(name: str) -> Path:
    """The path itself, or the shipped table of that name ("note10"); InputError lists those there are."""
    path = Path(name)
    if path.is_file() or path.suffix:
        return path
    shipped = _shipped()
    if name in shipped:
        return shipped[name]
    raise InputError(f"{name}: no such latency table{_shipped_hint()}")


def _shipped() -> dict[str, Path]:
    folder = Path(__file__).resolve().parent.parent / "latency_tables"
    return {path.stem: path for path in sorted(folder.glob("*.csv"))}


def _shipped_hint() -> str:
    return f" (a file's path, or one of those shipped: {', '.join(_shipped()) or 'none'})"


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
