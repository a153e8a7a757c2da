"""A report of a search says what its files say: networks, blocks, accuracies, measurements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import blocks_of
from ofa.report.parts.devices import MOST_NETWORKS, _thinned
from ofa.report.parts.networks import drawn_networks
from ofa.report.parts.slider import nice_step, slider_of
from ofa.search import __main__ as search
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from tests.helpers.report_runs import compared, evaluated, searched
from tests.ofa.report.shown import content, findings, shown

# ---- a search


def test_every_network_that_was_found_is_shown(frontier: Path) -> None:
    results = content(frontier / "result.json")["results"]
    (section,) = shown(frontier).sections
    (table,) = section.tables
    wanted = sorted((f"{r['latency_ms']:#.4g}", f"{r['predicted_top1']:.2f}") for r in results)
    assert len(wanted) >= 10
    columns = [table.heads.index(head) for head in ("sum, ms", "top-1, %")]
    assert sorted(tuple(row[c] for c in columns) for row in table.rows) == wanted
    assert section.title == "Intel Xeon virtual machine, 2 CPUs"


def test_blocks_add_up_to_what_the_search_wrote(frontier: Path) -> None:
    found = findings(frontier / "result.json")
    drawn = drawn_networks(found)
    sums = [sum(drawn.blocks[b].ms or 0 for b in own) for own in drawn.networks]
    assert drawn.remark == ""
    assert sums == pytest.approx(
        [network.sum_ms for network in found.networks], abs=3e-5
    )  # the search rounds each block up to a nanosecond
    for network, own in zip(found.networks, drawn.networks, strict=True):
        blocks = [drawn.blocks[b] for b in own]
        assert tuple(placed.block for placed in blocks) == blocks_of(found.space, network.subnet)
        elastic = [placed for placed in blocks if placed.expand is not None]
        subnet = network.subnet
        assert [placed.block.kernel_size for placed in elastic] == [k for k in subnet.kernel_sizes if k]
        assert [placed.expand for placed in elastic] == [e for e in subnet.expand_ratios if e]


@pytest.mark.parametrize("name", ["resnet50d", "proxyless-w1.3", "mbv3-w0.35"])
def test_blocks_of_every_family_stand_in_their_places(name: str, frontier: Path) -> None:
    space = get_space(name)
    subnets = space.decode(space.sample(np.random.default_rng(0), 70, resolutions=[160, 224]))
    found = findings(frontier / "result.json")
    networks = tuple(replace(found.networks[0], subnet=subnet) for subnet in subnets)
    drawn = drawn_networks(replace(found, space=space, networks=networks, table=None, lacking="none"))
    for subnet, own in zip(subnets, drawn.networks, strict=True):
        blocks = [drawn.blocks[b] for b in own]
        assert tuple(placed.block for placed in blocks) == blocks_of(space, subnet)
        assert [p.expand for p in blocks if p.expand is not None] == [e for e in subnet.expand_ratios if e]
    assert drawn.remark == "none"


def test_the_slider_reaches_every_best_network_and_begins_at_the_chosen_one(checked: Path) -> None:
    found = findings(checked / "result.json", checked / "verified.json")
    slider = slider_of(found, 1)
    values = slider.least + slider.step * np.arange(round((slider.most - slider.least) / slider.step) + 1)
    costs = np.array([found.cost(network) for network in found.networks])
    best = {max(np.flatnonzero(costs <= v + 1e-9), key=lambda i: found.networks[i].top1) for v in values}
    undominated = {i for i, n in enumerate(found.networks) if not any(m.top1 > n.top1 for m in found.networks[:i])}
    assert best == undominated
    at_start = max(np.flatnonzero(costs <= slider.start), key=lambda i: found.networks[i].top1)
    assert at_start == found.chosen
    assert found.networks[found.chosen].measured is not None


@pytest.mark.parametrize(("span", "named", "step"), [(10, [], 0.05), (10, [7.33], 0.01), (0.05, [0.3], 2e-4)])
def test_steps_are_round_and_divide_the_limits(span: float, named: list[float], step: float) -> None:
    assert nice_step(span, named) == pytest.approx(step)


def test_what_was_measured_is_joined_with_what_was_found(frontier: Path, checked: Path) -> None:
    before, after = findings(frontier / "result.json"), findings(checked / "result.json", checked / "verified.json")
    assert {n.subnet for n in before.networks} == {n.subnet for n in after.networks}
    measured = [network for network in after.networks if network.measured is not None]
    assert len(measured) == 3
    # two take more than their limits, which are their sums
    assert sorted(n.measured.keeps for n in measured if n.measured is not None) == [False, False, True]
    assert "measured whole" in shown(checked).answers[0].how
    assert "the sum of its blocks (95 % of sums are within 5.22 %)" in shown(frontier).answers[0].how


def test_a_measured_accuracy_comes_from_the_evaluation_of_the_same_network(frontier: Path, tmp_path: Path) -> None:
    subnet = content(frontier / "result.json")["results"][3]["subnet"]
    of_others = evaluated(tmp_path / "others.json", subnet, classes=12)
    of_all = evaluated(tmp_path / "all.json", subnet, classes=1000)
    for file, count in ((of_others, 0), (of_all, 1)):
        table = shown(frontier, file).sections[0].tables[0]
        assert ("measured top-1, %" in table.heads) == bool(count)
        assert sum("90.00" in row for row in table.rows) == count


def test_a_table_that_changed_since_the_search_is_named(tmp_path: Path) -> None:
    table = LatencyTable.load(find_table("xeon-vm-onnxruntime")).uncorrected
    table.save(tmp_path / "t.csv")
    words = ["--table", str(tmp_path / "t.csv"), "--latency", "6", "--out", str(tmp_path / "run")]
    assert search.main(words) == 0
    slower = [replace(row, latency_ms=row.latency_ms * 1.1) for row in table.rows]
    LatencyTable(table.header, slower).save(tmp_path / "t.csv")
    view = shown(tmp_path / "run").sections[0].view
    assert view is not None
    assert "the table has changed since the search: its sums differ by up to 10.0 %" in view.network.caption
    (tmp_path / "t.csv").unlink()
    view = shown(tmp_path / "run").sections[0].view
    assert view is not None
    assert (
        "Where the milliseconds go is not known: the table t.csv is not where the search read it"
        in view.network.caption
    )


def test_networks_that_a_table_was_not_checked_on_are_told_with_or_without_the_table(tmp_path: Path) -> None:
    table = LatencyTable.load(find_table("xeon-vm-onnxruntime")).uncorrected
    table.with_error("mean 2 %", (5, 7)).save(tmp_path / "t.csv")
    words = ["--table", str(tmp_path / "t.csv"), "--latency", "3", "4", "6", "--out", str(tmp_path / "run")]
    assert search.main(words) == 0
    for there in (True, False):
        if not there:
            (tmp_path / "t.csv").unlink()
        view = shown(tmp_path / "run").sections[0].view
        assert view is not None
        told = "The table was checked on networks of 5 to 7 ms; 2 of 3 are outside: there its sums are less sure."
        assert view.latency.count(told) == 1


def test_tables_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    runs = []
    for day, times in (("2026-01-01", 1.0), ("2026-01-02", 1.5)):
        table = LatencyTable.load(find_table("xeon-vm-onnxruntime"))
        rows = [replace(row, latency_ms=row.latency_ms * times) for row in table.rows]
        file = tmp_path / day / "this-machine.csv"
        file.parent.mkdir()
        LatencyTable({**table.header, "when": day}, rows).save(file)
        assert search.main(["--table", str(file), "--latency", "20", "--out", str(tmp_path / day / "run")]) == 0
        runs.append(tmp_path / day)
    sections = shown(*runs).sections
    assert [section.id for section in sections] == ["device-1", "device-2"]
    for section, run in zip(sections, runs, strict=True):
        (row,) = section.tables[0].rows
        (result,) = content(run / "run" / "result.json")["results"]
        assert row[section.tables[0].heads.index("sum, ms")] == f"{result['latency_ms']:#.4g}"
        assert section.view is not None
        assert "has changed since" not in section.view.network.caption
    tables = [run / "this-machine.csv" for run in runs]
    assert [section.id for section in shown(*tables).sections] == ["table-1", "table-2"]
    assert [section.id for section in shown(runs[0] / "run", *tables).sections] == ["device-1", "table-1"]
    # measured again since: the figures of its blocks are marked
    tables[1].replace(tables[0])
    (moved,) = shown(runs[0] / "run", tables[0]).sections
    assert moved.view is not None
    assert "has changed since" in moved.view.network.caption


def test_of_many_networks_the_measured_ones_and_an_even_choice_stay(checked: Path) -> None:
    some = findings(checked / "result.json", checked / "verified.json").networks
    many = [replace(some[0], sum_ms=float(i)) for i in range(1000)] + [n for n in some if n.measured]
    kept = _thinned(many)
    assert (len(kept), sum(n.measured is not None for n in kept)) == (MOST_NETWORKS, 3)
    assert (kept[0], max(np.diff([n.sum_ms for n in kept if n.measured is None]))) == (many[0], 6)


def test_what_lies_beside_a_table_belongs_to_it(frontier: Path, tmp_path: Path) -> None:
    run = searched(tmp_path / "run", "--latency", "6")
    before = shown(run)
    beside = tmp_path / "tables" / "xeon-vm-onnxruntime.csv"
    compared(beside.with_suffix(".baselines.json"), frontier / "result.json")
    beside.with_suffix(".validation.json").write_text('{"scores": ')
    after = shown(run)
    assert [file.kind for file in after.files.read] == [*(file.kind for file in before.files.read), "baselines"]
    assert [left.path.name for left in after.files.left_out] == ["xeon-vm-onnxruntime.validation.json"]
    assert after.sections[0].tables[1].title == "Published networks on this device"


def test_published_networks_stand_on_the_plot_by_recipe_and_in_a_table(frontier: Path, tmp_path: Path) -> None:
    file = compared(tmp_path / "b.json", frontier / "result.json")
    (section,) = shown(frontier, file).sections
    assert section.view is not None
    rows = next(d["values"] for d in section.view.frontier.spec["data"] if d["name"] == "references")
    assert [(row["c"], row["a"], row["r"], row["name"], row["from"]) for row in rows] == [
        (4.0, 70.5, "paper", "Net 70.5", 70.5),
        (4.0, 72.0, "timm", "", 70.5),
        (8.0, 75.0, "paper", "Net 75.0", 75.0),
        (60.0, 71.0, "paper", "Net 71.0", 71.0),
        (60.0, 74.5, "timm", "", 71.0),
    ]
    networks, published = section.tables
    assert published.rows[0] == ("Net 70.5", "4.000 ± 0.098", "70.5", "1.50 ×", "≥ +0.5", "72.0", "", "")
    assert published.rows[2][1] == "60.00 ± 0.098?"
    # the found ones of that run are those of the search, measured
    results = content(frontier / "result.json")["results"]
    measured = {row[networks.heads.index("measured, ms")] for row in networks.rows} - {""}
    assert measured == {f"{1.03 * row['latency_ms']:#.4g}" for row in results[::2]}
    assert len(networks.rows) == len(results)
    # what was not searched for has the sum of the table that is shown, whatever it was when it was measured
    one = searched(tmp_path / "one", "--latency", "6")
    older = content(file)
    older["found"] = [{**row, "predicted_ms": 2 * row["predicted_ms"]} for row in older["found"]]
    (tmp_path / "older.json").write_text(json.dumps(older))
    table = shown(one, tmp_path / "older.json").sections[0].tables[0]
    sums = {float(row[table.heads.index("sum, ms")]) for row in table.rows}
    assert sums >= {float(f"{row['latency_ms']:#.4g}") for row in results[::2]}
    # without the search they are shown as they are; without either, published ones alone
    alone = shown(file).sections[0].tables
    assert (len(alone[0].rows), alone[1]) == (len(results[::2]), published)
    (tmp_path / "none.json").write_text(json.dumps({**content(file), "found": []}))
    (only,) = shown(tmp_path / "none.json").sections
    assert (only.id, only.tables) == ("published-1", (published,))
