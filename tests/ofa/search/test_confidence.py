"""`python -m ofa.search --confidence`: limits less a margin, what is said of it, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import Infeasible, InputError, UsageError
from ofa.search.__main__ import main
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.margin import Margins

SPACE, RESOLUTIONS = get_space("mbv3-w0.35", 10), (48, 96)
RATIOS = tuple((1.01 + 0.002 * np.random.default_rng(0).permutation(39)).tolist())  # the 38th: 1.084


def save(path: Path, margins: Margins | None) -> Path:
    facts = {"device": path.stem, "runtime": "R", "provenance": "measured", "space": "mbv3-w0.35", "source": "a test"}
    rows = [TableRow(b, round(0.001 + block_macs(b) / 1e8, 6)) for b in all_blocks(SPACE, RESOLUTIONS)]
    if margins is not None:
        margins = replace(margins, space=SPACE.name, sums=LatencyTable(facts, rows).sums)
    LatencyTable({**facts, **({} if margins is None else margins.to_header())}, rows).save(path)
    return path


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return save(tmp_path / "d.csv", Margins("searched", 0.1, RATIOS, tuple(r + 0.1 for r in RATIOS), "39 by hand"))


def test_the_network_is_that_of_the_limit_less_the_margin(table: Path, tmp_path: Path, capsys) -> None:
    assert main(["--table", str(table), "--latency", "0.14", "--confidence", "95", "--out", str(tmp_path / "a")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the limit is kept with 95 %: searched within limits divided by 1.1840, the 38th of 39; 39 by hand" in said
    assert "random" not in said
    assert main(["--table", str(table), "--latency", "0.118243", "--out", str(tmp_path / "b")]) == 0
    assert "limits are those of sums: of 78 searched networks, 100 % took longer" in " ".join(
        capsys.readouterr().out.split()
    )
    kept, plain = result(tmp_path / "a"), result(tmp_path / "b")
    (one,), (other,) = kept["results"], plain["results"]
    assert one["subnet"] == other["subnet"]
    assert (one["limit_ms"], one["searched_ms"]) == (0.14, 0.118243)
    assert one["latency_ms"] * 1.184 <= 0.14
    stated = kept["tables"]["d"]["margin"]
    assert {key: stated[key] for key in ("ratio", "confidence", "rank", "of", "networks", "rests_on")} == {
        **{"ratio": 1.184, "confidence": 95.0, "rank": 38, "of": 39},
        **{"networks": "searched", "rests_on": "39 by hand"},
    }
    assert "margin" not in plain["tables"]["d"]


def test_several_limits_and_alternatives_are_all_kept_at_once(table: Path, tmp_path: Path, capsys) -> None:
    asked = ["--latency", "0.14", "0.08", "--confidence", "95", "--best", "2", "--differ", "3"]
    assert main(["--table", str(table), *asked, "--out", str(tmp_path)]) == 0
    found = result(tmp_path)
    margin = found["tables"]["d"]["margin"]
    # 19 runs of two networks of each half: all of them are as likely, and none may be broken
    assert (margin["rank"], margin["of"], margin["limits"], margin["best"]) == (19, 19, 2, 2)
    ratio = margin["ratio"]
    assert ratio == pytest.approx(max(RATIOS[:38]) + 0.1, abs=1e-4)
    said = " ".join(capsys.readouterr().out.split())
    assert "the 2 limits are all kept by all 2 networks of each with 95 %" in said
    assert [(r["limit_ms"], r["rank"]) for r in found["results"]] == [(0.14, 1), (0.14, 2), (0.08, 1), (0.08, 2)]
    for one in found["results"]:
        assert one["searched_ms"] == pytest.approx(one["limit_ms"] / ratio, abs=1e-6)
        assert one["latency_ms"] <= one["searched_ms"]
        assert one["latency_ms"] * ratio <= one["limit_ms"]


def test_one_network_for_two_devices_shares_what_may_be_broken(table: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "e.csv", Margins("random", 0.1, RATIOS, RATIOS, "drawn at random"))
    both = ["--table", str(table), "--table", str(other), "--together", "--latency", "0.15", "0.14"]
    assert main([*both, "--confidence", "95", "--out", str(tmp_path)]) == 0
    found = result(tmp_path)
    # 97.5 % each: the 39th of 39
    assert [found["tables"][name]["margin"]["rank"] for name in "de"] == [39, 39]
    assert [r["limit_ms"] for r in found["results"]] == [0.15, 0.14]
    assert [r["searched_ms"] for r in found["results"]] == [0.126475, 0.128913]


def test_random_networks_are_said_to_be_no_searched_ones(tmp_path: Path, capsys) -> None:
    path = save(tmp_path / "r.csv", Margins("random", 0.1, RATIOS, RATIOS, "drawn at random"))
    assert main(["--table", str(path), "--latency", "0.14", "--confidence", "90", "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "divided by 1.0800, the 36th of 39; drawn at random. Those were random networks, not searched ones" in said


def test_what_cannot_be_promised_is_one_line_with_the_way_out(table: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "out")]
    bare = save(tmp_path / "bare.csv", None)
    for path, arguments, error, message in (
        (bare, ["--latency", "1"], InputError, "has no such networks: python -m profilers.margin --table .*bare.csv"),
        (table, ["--latency", "0.02"], Infeasible, r"limits were divided by 1.084, the margin of --confidence 95\)"),
        (
            table,
            ["--latency", "1", "2", "3"],
            InputError,
            "95 % needs 19 and .* 13 runs of 3.*--table .*d.csv --winners 57",
        ),
        (table, [], UsageError, "--confidence is that of keeping latency limits: name them with --latency"),
        (table, ["--latency", "1", "--confidence", "100"], UsageError, "expected a per cent from 50 to 99.9"),
    ):
        with pytest.raises(error, match=message):
            main(["--table", str(path), "--confidence", "95", *arguments, *out])
    with pytest.raises(InputError, match=r"note10.csv .imported. has no such networks: measure a table on the device"):
        main(["--table", "note10", "--latency", "20", "--confidence", "95", *out])
    assert not (tmp_path / "out" / "result.json").exists()


def test_the_command_that_measures_margins_can_be_pasted(tmp_path: Path, capsys) -> None:
    (folder := tmp_path / "my tables").mkdir()
    out = ["--out", str(tmp_path / "out")]
    bare = save(folder / "bare.csv", None)
    with pytest.raises(InputError, match=f"python -m profilers.margin --table '{bare}' measures"):
        main(["--table", str(bare), "--latency", "1", "--confidence", "95", *out])
    drawn = save(folder / "drawn.csv", Margins("random", 0.1, RATIOS, RATIOS, "drawn at random"))
    assert main(["--table", str(drawn), "--latency", "0.14", "--confidence", "90", *out]) == 0
    assert f"profilers.margin --table '{drawn}' measures" in " ".join(capsys.readouterr().out.split())


def test_a_margin_in_a_table_that_was_not_measured_promises_nothing(table: Path, tmp_path: Path) -> None:
    measured = LatencyTable.load(table)
    for provenance in ("imported", "estimated"):
        path = tmp_path / f"{provenance}.csv"
        LatencyTable({**measured.header, "provenance": provenance}, measured.rows).save(path)
        with pytest.raises(
            InputError, match=f"{provenance}.csv .{provenance}. has no such networks: measure a table on"
        ):
            main(["--table", str(path), "--latency", "0.14", "--confidence", "95", "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace(",0.00", ",0.01", 1), r"rows or sum_correction were changed after .*--overwrite"),
        (lambda text: text.replace("# source", "# sum_correction: scale=0.9\n# source"), "rows or sum_correction were"),
        (
            lambda text: cut(text, "# margin_sums: "),
            r"does not record which rows .* add the line '# margin_sums: \w{16}'",
        ),
        (
            lambda text: text.replace("# margin_space: mbv3-w0.35", "# margin_space: mbv3-w1.0"),
            "of 'mbv3-w1.0', not of",
        ),
    ],
)
def test_a_margin_promises_nothing_of_a_table_that_was_edited(
    table: Path, tmp_path: Path, edit: Callable[[str], str], message: str, capsys
) -> None:
    asked = ["--table", str(table), "--latency", "0.14", "--out", str(tmp_path / "out")]
    whole = table.read_text()
    edited = edit(whole)
    assert edited != whole
    table.write_text(edited)
    with pytest.raises(InputError, match=f"d.csv: .*{message}"):
        main([*asked, "--confidence", "95"])
    assert not (tmp_path / "out").exists()
    assert main(asked) == 0  # without the promise it is as any table
    said = " ".join(capsys.readouterr().out.split())
    if "were" in message:
        assert "rows were changed since the margin in the header was measured" in said
        assert "took longer than their sums" not in said
    # rows in another order are the same sums
    lines = whole.splitlines(keepends=True)
    table.write_text("".join([*lines[:-3], *reversed(lines[-3:])]))
    assert main([*asked, "--confidence", "95"]) == 0


def cut(text: str, start: str) -> str:
    """Without the line that begins so."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(start))


def test_the_line_that_an_old_margin_asks_for_is_the_right_one(table: Path, tmp_path: Path) -> None:
    asked = ["--table", str(table), "--latency", "0.14", "--confidence", "95", "--out", str(tmp_path / "out")]
    whole = table.read_text()
    table.write_text(cut(whole, "# margin_sums: "))
    with pytest.raises(InputError) as error:
        main(asked)
    line = str(error.value).rpartition("add the line '")[2].removesuffix("'")
    table.write_text(f"{line}\n{table.read_text()}")
    assert main(asked) == 0


def test_a_limit_that_is_named_three_times_is_one_to_keep(table: Path) -> None:
    margins = LatencyTable.load(table).margins
    assert margins is not None
    assert margins.margin([1.0, 1.0, 1.0], 95) == margins.margin([1.0], 95)
    assert margins.margin([1.0, 2.0, 1.0], 90) == margins.margin([1.0, 2.0], 90)
