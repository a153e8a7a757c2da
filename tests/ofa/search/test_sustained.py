"""`python -m ofa.search --sustained`: limits that are kept on a hot device, what is said of it, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import Infeasible, InputError, UsageError
from ofa.search.__main__ import main
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.margin import Margins, SustainedFactor

SPACE, RESOLUTIONS = get_space("mbv3-w0.35", 10), (48, 96)
FACTS = {"runtime": "R", "provenance": "measured", "space": "mbv3-w0.35", "source": "a test"}
HOT = SustainedFactor(1.3368, 0.0042, "96:01=0.1", "one network, run for 10 minutes", "")


@pytest.fixture(autouse=True)
def no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the searches."""
    monkeypatch.setattr("ofa.search.__main__.draw_frontier", lambda *_: None)


def save(path: Path, found: SustainedFactor | None = HOT, ms: float = 1e-8, **facts: str) -> Path:
    """A table whose blocks take so many ms a MAC."""
    rows = [TableRow(b, round(0.001 + ms * block_macs(b), 6)) for b in all_blocks(SPACE, RESOLUTIONS)]
    table = LatencyTable({"device": path.stem, **FACTS, **facts}, rows)
    ratios = tuple(1.01 + 0.002 * i for i in range(39))
    margins = Margins("searched", 0.1, ratios, tuple(r + 0.1 for r in ratios), "39", SPACE.name, table.sums)
    table = LatencyTable({**table.header, **margins.to_header()}, rows)
    (table if found is None else table.with_sustained(replace(found, sums=found.sums or table.sums))).save(path)
    return path


def search(out: Path, *words: object) -> list[dict[str, Any]]:
    assert main([*map(str, words), "--out", str(out)]) == 0
    results: list[dict[str, Any]] = json.loads((out / "result.json").read_text())["results"]
    return results


def test_the_network_is_that_of_the_limit_over_the_factor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = save(tmp_path / "d.csv")
    (one,) = search(tmp_path / "a", "--table", table, "--latency", 0.14, "--sustained")
    out = " ".join(capsys.readouterr().out.split())
    assert "limits are those of a hot device: searched within limits divided by 1.337 (standard error 0.0042; " in out
    (other,) = search(tmp_path / "b", "--table", table, "--latency", 0.104727)
    out = " ".join(capsys.readouterr().out.split())
    assert "on a hot device a network took 1.337 (standard error 0.0042; one network, run for 10 minutes) times" in out
    assert one["subnet"] == other["subnet"]
    assert (one["limit_ms"], one["searched_ms"]) == (0.14, 0.104727)
    assert one["sustained_ms"] == pytest.approx(1.3368 * one["latency_ms"], abs=1e-6)
    assert one["sustained_ms"] <= 0.14
    assert "sustained_ms" not in other
    facts = json.loads((tmp_path / "a/result.json").read_text())["tables"]["d"]
    assert (facts["sustained_factor"], facts["sustained_network"]) == ("1.3368", "96:01=0.1")


def test_the_margin_of_a_confidence_is_that_of_the_limit_on_a_hot_device_and_comes_on_top(tmp_path: Path) -> None:
    table = save(tmp_path / "d.csv")
    # 0.13 / 1.3368 is below 0.1 ms, where the margin is that of the fast half
    (one,) = search(tmp_path, "--table", table, "--latency", 0.13, "--sustained", "--confidence", 95)
    fast = sorted(1.01 + 0.002 * i for i in range(39))[37]
    assert one["searched_ms"] == pytest.approx(0.13 / 1.3368 / fast, abs=2e-6)
    assert json.loads((tmp_path / "result.json").read_text())["tables"]["d"]["margin"]["ratio"] == pytest.approx(fast)


def test_each_table_of_a_search_has_its_own_factor(tmp_path: Path) -> None:
    one, two = save(tmp_path / "d.csv"), save(tmp_path / "e.csv", replace(HOT, factor=2.0))
    found = search(tmp_path, "--table", one, "--table", two, "--together", "--latency", 0.2, "--sustained")
    assert [result["searched_ms"] for result in found] == [0.149611, 0.1]
    found = search(tmp_path, "--table", one, "--table", two, "--latency", 0.2, 0.3, "--sustained")
    assert [(result["limit_ms"], result["searched_ms"]) for result in found] == [
        (0.2, 0.149611), (0.3, 0.224416), (0.2, 0.1), (0.3, 0.15),
    ]  # fmt: skip


def test_what_no_loop_says_is_refused_with_the_way_out(tmp_path: Path) -> None:
    bare, hot = save(tmp_path / "bare.csv", None), save(tmp_path / "hot.csv")
    edited = save(tmp_path / "edited.csv", replace(HOT, sums=LatencyTable.load(hot).sums), ms=2e-8)
    estimated = save(tmp_path / "estimated.csv", provenance="estimated")
    way = r"python -m profilers.verify --table .*\.csv --result RESULT --latency MS --sustained 10m --record"
    for path, arguments, error, message in (
        (bare, ["--latency", "1"], InputError, rf"bare.csv has none: search without --sustained, then {way}; or"),
        (edited, ["--latency", "1"], InputError, rf"edited.csv: rows or sum_correction were changed .*: put .* {way}"),
        (estimated, ["--latency", "1"], InputError, "estimated.csv is estimated: measure a table on the device, or"),
        (hot, ["--latency", "0.02"], Infeasible, r"\(limits were divided by 1.3368, the factor of --sustained\)"),
        (
            hot,
            ["--latency", "0.02", "--confidence", "95"],
            Infeasible,
            r"divided by 1.084, the margin of --confidence 95, and by 1.3368, the factor of --sustained\)",
        ),
        (hot, [], UsageError, "--sustained is about keeping latency limits: name them with --latency"),
    ):
        with pytest.raises(error, match=message):
            main(["--table", str(path), "--sustained", *arguments, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_header_tells_the_factor_whole_or_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "d.csv")
    found = LatencyTable.load(path).sustained
    assert found == replace(HOT, sums=LatencyTable.load(path).sums)
    assert LatencyTable.load(path).uncorrected.sustained is None
    text = path.read_text()
    for line, words in (
        ("# sustained_factor: 0.5", "header sustained_factor is '0.5', expected a number of times from 1 to 100"),
        ("# sustained_factor: nan", "header sustained_factor is 'nan'"),
        ("# sustained_facter: 1.3", "header key 'sustained_facter': did you mean sustained_factor?"),
        ("# remark: 1", "header has sustained_error, but no sustained_factor: put that line back, or take all out"),
    ):
        path.write_text(text.replace("# sustained_factor: 1.3368", line))
        with pytest.raises(InputError, match=words.replace("?", r"\?")):
            LatencyTable.load(path)
