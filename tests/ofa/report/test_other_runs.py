"""A report of trainings, evaluations and tables, and the commands that made them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa.evaluate.__main__ import COMMAND as EVALUATE
from ofa.report.charts.curves import MOST_POINTS
from ofa.report.inputs.commands import search_command
from ofa.report.inputs.files import find_files
from ofa.report.inputs.searched import read_search
from ofa.report.parts.provenance import wilson
from ofa.runs.settings import identity_of
from ofa.search import __main__ as search
from ofa.tables import LatencyTable, find_table
from tests.helpers.report_runs import evaluated, finetuned, searched, trained
from tests.ofa.report.shown import content, shown

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


def test_tables_of_one_name_have_each_its_own_validation_and_none_hides_another(tmp_path: Path) -> None:
    table = find_table("xeon-vm-onnxruntime")
    content = json.loads(table.with_suffix(".validation.json").read_text(encoding="utf-8"))
    folders = [tmp_path / name for name in ("one", "two", "again")]
    for day, folder in enumerate(folders, 1):
        folder.mkdir()
        when = {"when": f"2026-11-0{day}T10:00:00+00:00"}
        (folder / f"{table.stem}.validation.json").write_text(json.dumps(content | when), encoding="utf-8")
    for folder in folders[:2]:
        shutil.copy(table, folder)
    page = shown(*folders)
    seen = [
        [figure.caption for row in section.charts for figure in row.figures if "whole networks" in figure.caption]
        for section in page.sections
    ]
    # the third lies beside no table: it is of either, and both say where each comes from
    found = [[re.search(r"(one|two|again)/.* on (\d) November", caption).groups() for caption in each] for each in seen]
    assert found == [[("one", "1"), ("again", "3")], [("two", "2"), ("again", "3")]]


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
