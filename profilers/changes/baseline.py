"""Earlier runs of a committed table: tables of other days on which nothing had changed, in a folder beside it.

    latency_tables/my-phone.csv                               the committed table
    latency_tables/baseline/my-phone/2026-11-27.csv           runs of other days, kept by profilers.regenerate --accept

A run says in its header of which rows it is a repetition: once a table is replaced, runs of the old one count no more.
"""

from __future__ import annotations

from pathlib import Path

from ofa.tables import LatencyTable
from profilers.changes.change import FEWEST_RUNS

FOLDER = "baseline"
BASELINE_OF = "baseline_of"
# runs that are kept, beside the committed table: more of them tell little more
MOST_RUNS = 4


def folder_of(path: Path) -> Path:
    """Where the earlier runs of a table lie."""
    return path.parent / FOLDER / path.stem


def earlier_runs(table: LatencyTable, new: LatencyTable) -> tuple[LatencyTable, ...]:
    """Runs of a table on days other than its own and that of the new one, a day once; InputError for a damaged file."""
    if table.path is None or not folder_of(table.path).is_dir():
        return ()
    days, found = {_day(table), _day(new)}, []
    for path in sorted(folder_of(table.path).glob("*.csv")):
        run = LatencyTable.load(path)
        if run.header.get(BASELINE_OF) == _rows_of(table) and _day(run) not in days:
            days.add(_day(run))
            found.append(run)
    return tuple(found)


def keep(table: LatencyTable, new: LatencyTable) -> str:
    """Keeps a new run on which nothing had changed, where there are too few; what was done in words, or ""."""
    assert table.path is not None
    runs = earlier_runs(table, new)
    if len(runs) >= MOST_RUNS or _day(new) == _day(table) or not _day(new):
        return ""
    folder = folder_of(table.path)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.csv"):
        if LatencyTable.load(path).header.get(BASELINE_OF) != _rows_of(table):
            path.unlink()  # of a table that was replaced
    kept = folder / f"{_day(new)}.csv"
    LatencyTable({**new.header, BASELINE_OF: _rows_of(table)}, new.rows).save(kept)
    count = 2 + len(runs)
    more = "" if count >= FEWEST_RUNS else f"; {FEWEST_RUNS - count} more of other days make a baseline"
    return f"{table.path.name}: unchanged, and kept as one of {count} runs to compare with{more}"


def _day(table: LatencyTable) -> str:
    return table.header.get("when", "")[:10]


def _rows_of(table: LatencyTable) -> str:
    """Identity of the rows: a validation, which writes into the header, changes nothing in a comparison."""
    return table.uncorrected.sums
