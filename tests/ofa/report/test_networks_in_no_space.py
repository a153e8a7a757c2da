"""A report with networks that are in no space: by the sums of their blocks, marked as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.priced import named_networks, priced_by
from ofa.published.block_list import block_list
from ofa.published.block_network import BlockNetwork
from ofa.report.config import ReportConfig
from ofa.report.page import Page
from ofa.report.run import page_of
from ofa.runs.files import write_json
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from tests.helpers.report_runs import compared
from tests.ofa.report.shown import content

TABLE = "xeon-vm-onnxruntime"
NASTY = "</script><img src=x onerror=alert(1)>"


def shown(*runs: object, networks: tuple[object, ...]) -> Page:
    return page_of(ReportConfig(runs=tuple(map(str, runs)), networks=tuple(map(str, networks))))


def listed(path: Path, run: Path, number: int, **fields: Any) -> Path:
    """A found network of a search, as a list of blocks."""
    result = content(run / "result.json")
    space = get_space(result["space"])
    blocks = blocks_of(space, space.subnet_from_dict(result["results"][number]["subnet"]))
    write_json(path, {**block_list(BlockNetwork(path.stem, tuple(blocks), "a search")), **fields})
    return path


def of_plot(page: Page, name: str) -> list[dict[str, Any]]:
    view = page.sections[0].view
    assert view is not None
    (rows,) = (data["values"] for data in view.frontier.spec["data"] if data["name"] == name)
    return list(rows)


def test_a_found_network_as_a_list_has_the_sum_that_the_search_found(frontier: Path, tmp_path: Path) -> None:
    one = listed(tmp_path / "one.json", frontier, 0, top1=70.5)
    two = listed(tmp_path / "two.json", frontier, -1, name=NASTY)
    page = shown(frontier, networks=(two, "mobilenet_v2", one))
    networks, priced = page.sections[0].tables
    assert (priced.title, priced.heads[:3]) == ("Networks in no space", ("network", "input, px", "sum, ms"))
    sums = [row[networks.heads.index("sum, ms")] for row in networks.rows]
    results = content(frontier / "result.json")["results"]
    assert [row[2] for row in priced.rows[:2]] == [sums[0], sums[-1]]
    assert priced.rows[2][0] == "mobilenet_v2"
    assert priced.rows[2][2].startswith("lacks ")
    # what is not known of any network has no column
    assert [row[5:] for row in priced.rows] == [("70.5", "", ""), ("", "", ""), ("", "72.0", "72.9")]
    (row,) = of_plot(page, "references")
    assert (row["c"], row["a"], row["r"], row["name"], row["sum"]) == (
        pytest.approx(results[0]["latency_ms"], abs=1e-4), 70.5, "stated", "one", True,
    )  # fmt: skip
    (tick,) = of_plot(page, "unplaced")
    assert tick["c"] == pytest.approx(results[-1]["latency_ms"], abs=1e-4)
    assert f"--networks {two} mobilenet_v2 {one}" in page.commands[-1].text


def test_sums_are_marked_apart_from_what_was_measured(frontier: Path, tmp_path: Path) -> None:
    measured = compared(tmp_path / "b.json", frontier / "result.json")
    page = shown(frontier, measured, networks=(listed(tmp_path / "one.json", frontier, 3, top1=75.1),))
    assert [row["sum"] for row in of_plot(page, "references")] == [False] * 5 + [True]
    view = page.sections[0].view
    assert view is not None
    words = [mark.words for mark in view.legend]
    assert "published, measured here: by its authors" in words
    assert "not measured: the sum of its blocks" in words
    assert "likewise, of unknown accuracy" not in words
    assert len(page.sections[0].tables) == 3


def test_accuracies_of_other_classes_are_left_out() -> None:
    table = LatencyTable.load(find_table(TABLE))
    networks = named_networks(["proxylessnas_mobile", "mobilenet_v3_large@160"])
    assert [dict(one.top1) for one in priced_by(table, networks, 1000)] != [{}, {}]
    others = priced_by(table, networks, 10)
    assert [dict(one.top1) for one in others] == [{}, {}]
    assert others[0].params_millions < networks[0].network.params / 1e6


def test_a_table_alone_prices_them_too() -> None:
    (section,) = shown(TABLE, networks=("mobilenet_v3_large",)).sections
    (priced,) = section.tables
    assert priced.rows[0][:2] == ("mobilenet_v3_large", "224")
    assert np.isclose(float(priced.rows[0][4]), 5.483, atol=1e-3)  # torchvision's parameters, in millions


@pytest.mark.parametrize(
    ("networks", "fault"),
    [
        (("mobilenet_v9",), "there is no published network 'mobilenet_v9'"),
        (("mobilenet_v2", "mobilenetv2_100"), "--networks names mobilenet_v2 twice"),
        (("no.json",), r"no\.json: no such file"),
        (("fbnet_c",) * 101, "--networks names 101 networks, expected at most 100"),
    ],
)
def test_what_is_no_network_is_refused(networks: tuple[str, ...], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        shown(TABLE, networks=networks)


def test_without_a_table_there_is_nothing_to_price_them_by(frontier: Path, tmp_path: Path) -> None:
    only = compared(tmp_path / "b.json", frontier / "result.json")
    only.write_text(json.dumps({**content(only), "found": []}))
    with pytest.raises(InputError, match=r"--networks: no table is in .*b\.json to price them"):
        shown(only, networks=("mobilenet_v2",))
