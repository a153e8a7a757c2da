"""A report says what its files say: networks, blocks, accuracies, commands; and refuses what it does not know."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.evaluate.__main__ import COMMAND as EVALUATE
from ofa.report import page as pages
from ofa.report.__main__ import COMMAND, main
from ofa.report.charts.curves import MOST_POINTS
from ofa.report.config import ReportConfig
from ofa.report.inputs.commands import search_command
from ofa.report.inputs.files import find_files
from ofa.report.inputs.searched import FoundNetwork, read_search
from ofa.report.page import Page
from ofa.report.parts.devices import MOST_NETWORKS, DeviceFindings, _thinned, devices_of
from ofa.report.parts.networks import drawn_networks
from ofa.report.parts.provenance import wilson
from ofa.report.parts.slider import nice_step, slider_of
from ofa.report.run import page_of
from ofa.report.sections.section import Section
from ofa.runs.settings import identity_of
from ofa.search import __main__ as search
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from tests.helpers.programs import ended
from tests.helpers.report_runs import NASTY, compared, evaluated, finetuned, searched, trained, verified


@pytest.fixture(scope="module")
def frontier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search without limits, with the whole frontier beside its result."""
    return searched(tmp_path_factory.mktemp("frontier") / "run")


@pytest.fixture(scope="module")
def checked(frontier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with a verification of its last three networks."""
    folder = tmp_path_factory.mktemp("checked")
    (folder / "result.json").write_bytes((frontier / "result.json").read_bytes())
    verified(folder / "result.json")
    return folder


def shown(*runs: object) -> Page:
    return page_of(ReportConfig(runs=tuple(map(str, runs))))


def findings(*files: Path) -> DeviceFindings:
    runs = [read_search(file) for file in find_files([str(file) for file in files]).read]
    (found,) = devices_of(runs, {}, [], [])
    return found


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


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


# ---- the other runs


def test_a_training_is_one_run_whose_lines_keep_their_ends(tmp_path: Path) -> None:
    (section,) = shown(trained(tmp_path / "run")).sections
    ((accuracy, loss),) = [row.figures for row in section.charts]
    for figure, name in ((accuracy, "top1"), (loss, "loss")):
        rows, ends = (next(d["values"] for d in figure.spec["data"] if d["name"] == n) for n in ("rows", "ends"))
        assert {end["name"] for end in ends} == {"largest", "training"}, name
        for number in (0, 1):
            line = [row["e"] for row in rows if row["n"] == number]
            assert line == sorted(line)
            assert (len(line) <= MOST_POINTS, line[-1]) == (True, 700)
    assert "2 stages" in section.about
    assert section.lines[0].startswith("The largest network ended with 80.99 %")


def test_a_fine_tuning_ends_as_its_result_says(tmp_path: Path) -> None:
    (section,) = shown(finetuned(tmp_path / "run")).sections
    assert section.title.startswith("Fine-tuning: ")
    low, high = wilson(55.0, 60)
    sure = f"55.00 % of 60 validation images (95 %: {low:.1f} to {high:.1f})"
    assert section.lines == (f"The network as it is saved, calibrated anew: {sure}.",)


@pytest.mark.parametrize(
    ("top1", "n", "low", "high"), [(50, 100, 40.38, 59.62), (100, 20, 83.89, 100), (0, 20, 0, 16.11)]
)
def test_an_interval_is_as_others_compute_it(top1: float, n: int, low: float, high: float) -> None:
    assert wilson(top1, n) == pytest.approx((low, high), abs=0.01)  # statsmodels, proportion_confint(method="wilson")


@pytest.mark.parametrize(("classes", "drawn"), [(40, True), (41, False)])
def test_a_confusion_matrix_is_drawn_where_it_can_be_read(classes: int, drawn: bool, tmp_path: Path) -> None:
    (section,) = shown(evaluated(tmp_path / "e.json", classes=classes)).sections
    (row,) = section.charts
    assert bool(row.figures) == drawn
    assert row.tables[0].rows[0] == ("class 0", "class 1", "5")
    assert section.tables[0].rows[0][-1] == "class 0 90.0 %"


def test_a_table_alone_is_shown_with_its_error() -> None:
    (section,) = shown("xeon-vm-onnxruntime").sections
    assert section.lines[0].startswith("Every block was measured on this device on 23 November 2026")
    assert "off by 2.33 % in the mean, 95 % of them by less than 5.22 %" in section.lines[1]
    table = LatencyTable.load(find_table("xeon-vm-onnxruntime"))
    (figure,) = section.charts[0].figures
    rows = figure.spec["data"][0]["values"]
    pools = sum(row.block.op == "global_pool" for row in table.rows)
    assert len(rows) == len(table.rows) - pools


def test_a_validation_joins_its_table() -> None:
    path = find_table("xeon-vm-onnxruntime").with_suffix(".validation.json")
    (alone,), (joined,) = shown(path).sections, shown("xeon-vm-onnxruntime").sections
    (figure,) = alone.charts[0].figures
    assert figure.caption == joined.charts[1].figures[0].caption
    scores = content(path)["scores"]
    assert (
        f"100 whole networks, measured on 23 November 2026: sums are off by {scores['mape_pct']:.2f} %"
        in figure.caption
    )
    errors = [abs(row["y"]) for row in figure.spec["data"][0]["values"] if row["s"]]
    assert np.mean(errors) == pytest.approx(scores["mape_pct"], abs=0.005)


# ---- commands


@pytest.mark.parametrize(
    "words",
    [
        "--latency 5 6.5 8 --best 2 --differ 3",
        "--frontier latency --kernel-sizes 3 5 --expand-ratios 3 4 --depths 2 3 --seed 7",
        "--latency 6 --max-macs 220.5 --resolutions 128,160 --method exact",
        "--table epyc-vm-onnxruntime --latency 6 --together --confidence 90",
    ],
)
def test_the_command_of_a_search_is_one_that_makes_it_again(words: str, tmp_path: Path) -> None:
    asked = search.COMMAND.parse(["--table", "xeon-vm-onnxruntime", *words.split(), "--out", str(tmp_path / "a b")])
    settings = identity_of(asked, predictor={"file": "mbv3-w1.0.safetensors", "sha256": "0"}, version="0")
    facts = {Path(name).stem: {"path": name} for name in asked.table}
    run = read_search(find_files([str(searched(tmp_path / "run", "--latency", "6"))]).read[0])
    line = search_command(replace(run, settings=settings, facts=facts, path=tmp_path / "a b" / "result.json"))
    begin, again = line.split(" -m ofa.search "), search.COMMAND.parse(shlex.split(line)[3:])
    assert (begin[0], again) == ("python", asked)


def test_the_command_of_an_evaluation_can_be_typed(tmp_path: Path) -> None:
    text = shown(evaluated(tmp_path / "e.json")).commands[0].text
    for name in ("runs", "img"):
        (tmp_path / name).mkdir()
    assert (
        text == f"python -m ofa.evaluate --checkpoint runs/w.safetensors --data img --limit 600 --out {tmp_path}/e.json"
    )
    assert EVALUATE.config.__name__ == "EvaluateConfig"


# ---- files


def test_what_is_no_run_is_refused_by_name(tmp_path: Path, frontier: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "damaged.json").write_text('{"results": [')
    (tmp_path / "deep.jsonl").write_text("[" * 60_000)
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    line = next(frontier.glob("*.frontier.csv"))
    for name, why in {
        "notes.txt": "is of no kind that is known; expected what ofa.search",
        "other.json": "is of no kind that is known",
        "damaged.json": "not JSON",
        "deep.jsonl": "is of no kind that is known",
        "empty": "no run is in this folder",
        "pipe": "is a device or a pipe",
        "absent": "no such file or folder, nor a table that is shipped",
        str(line): "no network is in there to show: name the result.json",
        "long" * 100: "no file can be called that",
    }.items():
        with pytest.raises(InputError) as error:
            shown(tmp_path / name)
        assert why in str(error.value), name
        assert Path(name).name[:20] in str(error.value)


def test_a_folder_is_looked_through_and_what_is_damaged_left_out(frontier: Path, tmp_path: Path) -> None:
    inner = tmp_path / "runs" / "deep" / "er"
    inner.mkdir(parents=True)
    for file in frontier.iterdir():
        (inner / file.name).write_bytes(file.read_bytes())
    (inner / "again.json").symlink_to(inner / "result.json")
    (inner / "round").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "verified.json").write_text('{"results": [], "verification": {')
    cut = find_table("xeon-vm-onnxruntime").read_bytes()[:20_000]
    (tmp_path / "runs" / "table.csv").write_bytes(cut)
    (tmp_path / "runs" / "classes.json").write_text('{"cat": 0}')
    (tmp_path / "runs" / "x.journal.jsonl").write_text('{"kind": "settings"}\n')
    (tmp_path / "runs" / ".hidden.json").write_text("{")
    trained(tmp_path / "runs" / "supernet", 40)
    page = shown(tmp_path / "runs", inner / "result.json")
    assert [file.kind for file in page.files.read] == ["search", "frontier", "curves"]
    assert ["not JSON" in left.why or "is cut off" in left.why for left in page.files.left_out] == [True, True]
    assert [left.path.name for left in page.files.left_out] == ["verified.json", "table.csv"]
    with pytest.raises(InputError, match=r"table\.csv:\d+: the file is cut off"):
        shown(tmp_path / "runs", tmp_path / "runs" / "table.csv")
    assert [section.id for section in page.sections] == ["device-1", "training-1"]


# ---- the page


class Tags(HTMLParser):
    """Every tag of a page, and the text of its scripts of JSON."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.specs: list[Any] = []
        self._in_json = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_json = dict(attrs).get("type") == "application/json"

    def handle_data(self, data: str) -> None:
        if self._in_json:
            self.specs.append(json.loads(data))
            self._in_json = False


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plotting library, which takes seconds to put together."""
    monkeypatch.setattr(pages, "javascript", lambda: "/* Vega */")


@pytest.mark.usefixtures("quick")
def test_names_from_files_are_text_wherever_they_stand(frontier: Path, tmp_path: Path) -> None:
    result = content(frontier / "result.json")
    (table,) = result["tables"]
    result["tables"] = {NASTY: {**result["tables"][table], "device": NASTY, "source": NASTY, NASTY: NASTY}}
    result["results"] = [{**row, "table": NASTY} for row in result["results"]]
    result["predictor"]["description"] = NASTY
    (tmp_path / "result.json").write_text(json.dumps(result))
    nasty = evaluated(tmp_path / "e.json", nasty=NASTY)
    page = page_of(ReportConfig(runs=(str(tmp_path / "result.json"), str(nasty)), title=NASTY))
    html = page.html()
    plain = Tags(shown(frontier / "result.json", evaluated(tmp_path / "plain.json")).html())
    found = Tags(html)
    # one row more says all of itself; nothing else is there that is not on a page of plain names
    counted = [[tag for tag, _ in tags.tags if tag not in ("dt", "dd", "li", "p", "pre")] for tags in (found, plain)]
    assert counted[0] == counted[1]
    assert len(found.specs) == 4
    assert "\u202e" not in html
    assert "onerror=alert" in json.dumps(found.specs)  # it is there, as a text


@pytest.mark.usefixtures("quick")
def test_the_page_asks_for_nothing_and_is_labelled(frontier: Path, tmp_path: Path) -> None:
    html = shown(frontier, trained(tmp_path / "t"), evaluated(tmp_path / "e.json"), "note8").html()
    tags = Tags(html).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in tags:
        assert not {"src", "onclick", "onload"} & set(attrs), tag
        assert tag != "a" or attrs["href"] in {f"#{id}" for id in ids}
        assert tag != "input" or ("label", {"for": attrs["id"]}) in tags
        if "chart" in (attrs.get("class") or "").split():
            assert attrs["aria-label"]
    policy = next(attrs["content"] for tag, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "url(" not in html


@pytest.mark.usefixtures("quick")
def test_the_command_writes_the_page_and_says_where(
    frontier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    done = ended(main, capsys, frontier, "note8", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"wrote {out} (")
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    refused = ended(main, capsys, tmp_path / "absent", "--out", tmp_path / "no.html")
    assert (refused.returncode, refused.stdout, (tmp_path / "no.html").exists()) == (2, "", False)
    assert refused.stderr == f"error: {tmp_path}/absent: no such file or folder, nor a table that is shipped\n"
    assert COMMAND.config is ReportConfig


@pytest.mark.usefixtures("quick")
def test_a_page_replaces_a_page_and_nothing_else(
    frontier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, text, page = tmp_path / "result.json", (frontier / "result.json").read_bytes(), tmp_path / "r.html"
    result.write_bytes(text)
    (tmp_path / "linked.html").symlink_to(result)
    for out in (result, tmp_path / "linked.html"):
        done = ended(main, capsys, result, "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: --out {out} is there and is no HTML page")
        assert result.read_bytes() == text
    page.touch()
    for _ in range(2):
        assert ended(main, capsys, result, "--out", page).returncode == 0


def test_a_page_is_of_something() -> None:
    with pytest.raises(InputError, match="name at least one"):
        ReportConfig(runs=())
    assert Section("a", "b", "c", "d").view is None
    assert FoundNetwork.__dataclass_params__.frozen  # type: ignore[attr-defined]
