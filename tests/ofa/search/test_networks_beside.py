"""`ofa.search --networks`: networks that are in no space, beside what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import blocks_of
from ofa.errors import InputError, UsageError
from ofa.priced import measured_beside
from ofa.published.block_list import block_list
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import open_network
from ofa.runs.files import write_json
from ofa.search.__main__ import main
from ofa.search.config import SearchConfig
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table

TABLE = "xeon-vm-onnxruntime"
NASTY = r"$\frac{x$ [bold]"  # neither mathematics nor markup


def searched(out: Path, *words: object) -> dict[str, Any]:
    assert main(["--table", TABLE, "--latency", "10", "14", "--out", str(out), *map(str, words)]) == 0
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a search wrote, whose networks are lists of blocks beside it: one.json (of known accuracy), two.json."""
    out = tmp_path_factory.mktemp("found")
    result = searched(out)
    space = get_space(result["space"])
    for number, fields in enumerate(({"top1": 70.5}, {"name": NASTY})):
        blocks = blocks_of(space, space.subnet_from_dict(result["results"][number]["subnet"]))
        listed = block_list(BlockNetwork("one", tuple(blocks), "a search"))
        write_json(out / f"{('one', 'two')[number]}.json", {**listed, **fields})
    return out


@pytest.mark.drawn
def test_a_found_network_as_a_list_has_the_sum_that_was_found(
    found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = searched(tmp_path, "--networks", found / "two.json", "mobilenet_v3_large", found / "one.json", "fbnet_c")
    before = json.loads((found / "result.json").read_text())
    # what is found, and what identifies the search, does not depend on what is shown beside it
    assert (result["results"], result["settings"]) == (before["results"], before["settings"])
    listed = {one["name"]: one for one in result["networks"][TABLE]}
    for name, of in zip(("one", NASTY), before["results"], strict=True):
        assert listed[name]["sum_ms"] == pytest.approx(of["latency_ms"], abs=1e-4)
        assert listed[name]["macs_millions"] == pytest.approx(of["macs_millions"])
    assert (listed["one"]["top1"], listed[NASTY]["top1"]) == ({"stated": 70.5}, {})
    # torchvision's parameters, and its authors' accuracy
    assert np.isclose(listed["mobilenet_v3_large"]["params_millions"], 5.483, atol=1e-3)
    assert listed["mobilenet_v3_large"]["top1"]["paper"] == 75.2
    assert (listed["fbnet_c"]["sum_ms"], listed["fbnet_c"]["missing_blocks"] > 0) == (None, True)
    assert [one["sum_ms"] is None for one in result["networks"][TABLE]] == [False, False, True, True]
    printed = capsys.readouterr().out
    assert f"{TABLE}: networks in no space" in printed
    assert f"lacks {listed['fbnet_c']['missing_blocks']} blocks" in printed
    assert NASTY in printed
    assert f"--also {found / 'one.json'} {found / 'two.json'} mobilenet_v3_large fbnet_c" in printed
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_networks_of_which_a_table_knows_nothing_leave_no_mark(found: Path, tmp_path: Path) -> None:
    """One found network, and one that the table lacks blocks of: a single point is no plot."""
    for networks, is_drawn in ((["fbnet_c"], False), (["fbnet_c", str(found / "two.json")], True)):
        assert main(["--table", TABLE, "--latency", "12", "--networks", *networks, "--out", str(tmp_path)]) == 0
        assert (tmp_path / "frontier.png").exists() == is_drawn


@pytest.mark.parametrize(
    ("networks", "fault"),
    [
        (("mobilenet_v9",), "there is no published network 'mobilenet_v9'"),
        (("mobilenet_v2", "mobilenetv2_100"), "--networks names mobilenet_v2 twice"),
        (("no.json",), r"no\.json: no such file"),
        ((str(find_table(TABLE)),), "is no|not JSON|expected"),
        (("",), "a folder, expected a JSON list of blocks"),
    ],
)
def test_what_is_no_network_is_refused_before_the_search(networks: tuple[str, ...], fault: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fault):
        main(["--table", TABLE, "--networks", *networks, "--out", str(tmp_path / "out")])
    assert not list(tmp_path.glob("out/*"))


def test_a_search_s_own_result_is_no_network(found: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names sub-networks of a space, and these are networks in none"):
        main(["--table", TABLE, "--networks", str(found / "result.json"), "--out", str(tmp_path)])


def test_energies_have_no_networks_beside_them() -> None:
    with pytest.raises(UsageError, match="leave out --frontier energy"):
        SearchConfig(table=(TABLE,), frontier="energy", networks=("mobilenet_v2",))


def beside(folder: Path, **changed: Any) -> tuple[Path, dict[str, Any]]:
    """A copy of the table, and what a validation beside it says of a network: 9.5 ms, and of one that is none: 1 ms."""
    table = folder / "mine.csv"
    table.write_bytes(find_table(TABLE).read_bytes())
    network = open_network("mobilenet_v3_large")
    costs = {"macs_millions": round(network.macs / 1e6, 3), "params_millions": round(network.params / 1e6, 6)}
    known = {"name": network.name, "resolution": 224, **costs, "measured_ms": 9.5, "doubtful": True}
    other = {**known, "macs_millions": 1.01 * costs["macs_millions"], "measured_ms": 1.0}
    facts = {key: LatencyTable.load(table).header[key] for key in ("device", "runtime")}
    lacking = {**known, "name": "fbnet_c", "measured_ms": None}
    namesake = {**known, "name": "another of the same costs", "measured_ms": 2.0}
    smaller = {**known, "resolution": 192, "measured_ms": 3.0}
    also = [other, namesake, smaller, lacking, known]
    content = {**facts, "when": "2026-11-27", "machine_pct": -6.25, "also": also, **changed}
    write_json(folder / "mine.validation.json", content)
    return table, content


def test_what_was_measured_beside_a_table_counts_before_the_sum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, content = beside(tmp_path)
    later = {**content, "when": "2026-11-28", "baselines": [{**content["also"][-1], "latency_ms": 8.5}]}
    del later["also"], later["baselines"][0]["measured_ms"]
    for written, took, file in ((content, 9.5, "validation"), (later, 8.5, "baselines")):
        write_json(tmp_path / f"mine.{file}.json", written)
        arguments = ["--table", str(table), "--latency", "12", "--networks", "fbnet_c", "mobilenet_v3_large"]
        assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
        known, unknown = json.loads((tmp_path / "out/result.json").read_text())["networks"]["mine"]
        assert (known["measured_ms"], known["sum_ms"], known["doubtful"]) == (took, None, True)
        assert (known["measured_in"], unknown["measured_ms"]) == (f"mine.{file}.json", None)
        printed = capsys.readouterr().out
        assert f"as mine.{file}.json says (what is in the table took 6.2 % less then)" in printed
        assert (
            f"measure the others whole, on the table's device: python -m profilers.validate --table {table}" in printed
        )
        assert printed.split("--also ")[1].splitlines()[0] == "fbnet_c"
        assert (tmp_path / "out/frontier.png").exists()


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"device": "Another"}, None),
        ({"runtime": "none"}, None),
        ({"batch": 4}, None),
        ({"also": "x"}, "mine.validation.json: also is of another kind (str), expected a list"),
        ({"also": [7]}, "mine.validation.json: also[0]"),
        ({"also": [{"name": "a", "measured_ms": -1, "resolution": 9}]}, "mine.validation.json: also[0]: resolution"),
        ({"machine_pct": "\x1b[2J"}, "mine.validation.json: machine_pct is '\\x1b[2J'"),
    ],
)
def test_what_is_beside_a_table_and_is_not_its_own_or_damaged_is_left_out(
    changed: dict[str, Any], fault: str | None, tmp_path: Path
) -> None:
    table, _ = beside(tmp_path, **changed)
    found, faults = measured_beside(LatencyTable.load(table))
    assert found == []
    assert [fault in line for line in faults] == ([] if fault is None else [True]), faults
