"""The samples behind a table: in its column, else in its journal."""

from dataclasses import replace
from pathlib import Path

import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.changes.comparison import compare_tables
from profilers.changes.visit_medians import journal_visit_medians, visit_medians
from profilers.cpu import main as profile
from tests.helpers.machines import Kind, plant_machine


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """Those that were made, by the kind of the machine."""
    kinds: tuple[Kind, ...] = ("quiet", "fitful", "busy")
    return {kind: tmp_path_factory.mktemp(kind) / "t.csv" for kind in kinds}


@pytest.fixture
def profiled(request: pytest.FixtureRequest, profiles: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile of a quiet machine, or of another kind."""
    machine: Kind = getattr(request, "param", "quiet")
    out = profiles[machine]
    if not out.exists():
        plant_machine(monkeypatch, machine)
        profile(["--space", "mbv3-w0.35", "--resolutions", "64", "--quick", "--limit", "8", "--out", str(out)])
    return out


@pytest.mark.parametrize("profiled", ["quiet", "fitful"], indirect=True)
def test_a_profile_writes_its_visits_and_its_journal_holds_the_same(profiled: Path) -> None:
    table = LatencyTable.load(profiled)
    held = journal_visit_medians(profiled.with_suffix(".journal.jsonl"))
    assert visit_medians(table) == (held, "visits in the table")
    assert any(row.visits_ms for row in table.rows)
    for row in table.rows:
        if row.visits_ms:
            assert min(row.visits_ms) <= row.latency_ms <= max(row.visits_ms)


@pytest.mark.parametrize("profiled", ["busy"], indirect=True)
def test_a_machine_that_is_busy_all_along_leaves_latencies_alone(profiled: Path) -> None:
    table = LatencyTable.load(profiled)
    assert not any(row.visits_ms for row in table.rows)
    visits, basis = visit_medians(table)
    assert visits == {row.block: (row.latency_ms,) for row in table.rows}
    assert basis == "one figure a block (t.journal.jsonl is of another table, or of disturbed visits alone)"


def without_column(profiled: Path, path: Path) -> LatencyTable:
    table = LatencyTable.load(profiled)
    LatencyTable(table.header, [replace(row, visits_ms=None) for row in table.rows]).save(path)
    assert "visits_ms" not in path.read_text()
    return LatencyTable.load(path)


def test_an_older_table_takes_them_from_its_journal(profiled: Path, tmp_path: Path) -> None:
    journal = profiled.with_suffix(".journal.jsonl").read_bytes()
    older = without_column(profiled, tmp_path / "t.csv")
    assert visit_medians(older) == ({row.block: (row.latency_ms,) for row in older.rows}, "one figure a block")
    (tmp_path / "t.journal.jsonl").write_bytes(journal)
    assert visit_medians(older) == (visit_medians(LatencyTable.load(profiled))[0], "visits in t.journal.jsonl")
    assert (tmp_path / "t.journal.jsonl").read_bytes() == journal


def test_the_journal_of_another_table_is_left_alone(profiled: Path, tmp_path: Path) -> None:
    older = without_column(profiled, tmp_path / "t.csv")
    (tmp_path / "t.journal.jsonl").write_bytes(profiled.with_suffix(".journal.jsonl").read_bytes())
    slower = LatencyTable(older.header, [replace(r, latency_ms=2 * r.latency_ms) for r in older.rows], older.path)
    visits, basis = visit_medians(slower)
    assert basis == "one figure a block (t.journal.jsonl is of another table, or of disturbed visits alone)"
    assert all(visits[row.block] == (row.latency_ms,) for row in slower.rows)
    (tmp_path / "t.journal.jsonl").write_text('{"kind": "settings", "journal_version": 2}\n')
    assert "its settings name no 'space'" in visit_medians(older)[1]
    with pytest.raises(InputError, match=r"t\.journal\.jsonl: not the journal of a profile"):
        journal_visit_medians(tmp_path / "t.journal.jsonl")


@pytest.mark.parametrize(("timing", "factor"), [("warm", 3.0), ("in place", 3.0), ("in place", 0.3)])
def test_a_latency_that_was_edited_counts_in_place_of_its_visits(timing: str, factor: float) -> None:
    blocks = all_blocks(get_space("mbv3-w0.35"), [64])
    facts = {"device": "D", "runtime": "r", "space": "s", "source": "s", "provenance": "measured", "timing": timing}
    rows = [TableRow(block, 0.01, visits_ms=(0.0095, 0.01, 0.0105)) for block in blocks]
    rows[3] = replace(rows[3], visits_ms=None)
    as_measured, basis = visit_medians(LatencyTable(facts, rows))
    assert basis == "visits in the table"
    rows[7] = replace(rows[7], latency_ms=round(0.01 * factor, 6))
    edited, basis = visit_medians(LatencyTable(facts, rows))
    assert basis == "visits in the table; latency_ms of 1 blocks, which is not that of their visits"
    assert edited == {**as_measured, blocks[7]: (rows[7].latency_ms,)}
    assert as_measured[blocks[3]] == ()
    # and it is a change
    changed = compare_tables(LatencyTable(facts, rows[8:] + rows[:7]), LatencyTable(facts, rows))
    assert not changed.changed
    before = [replace(row, latency_ms=0.01) for row in rows]
    (found,) = compare_tables(LatencyTable(facts, before), LatencyTable(facts, rows)).changed
    assert found.block == blocks[7]
    assert found.effect == pytest.approx(factor - 1)
