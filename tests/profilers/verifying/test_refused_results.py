"""Results, tables and limits that cannot be verified are refused before a visit."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import blocks_of
from ofa.errors import Infeasible, InputError
from ofa.runs.files import write_json
from ofa.tables import LatencyTable
from profilers.verify import main
from tests.profilers.verifying.searched import SPACE, Run, found, whole, write_table
from tests.profilers.whole_networks.planted import PlantedDevice


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"provenance": "estimated"}, "is estimated: only a measured table can be verified, on its own device"),
        ({"emulated": "yes"}, "was measured on an emulated device"),
        ({"batch": "8"}, "in a table whose batch is missing, that of .* is '8': search again"),
        ({"device": "E"}, "in a table whose device is 'D', that of .* is 'E'"),
        ({"space": "mbv3-w0.35, mbv3-w1.0"}, "in a table whose space is"),
        (
            {"sum_correction": "scale=1.1"},
            r"in other rows or by another sum_correction than .* has now: measured, validat",
        ),
    ],
)
def test_a_result_of_another_table_is_refused(made: Path, tmp_path: Path, facts: dict[str, str], words: str) -> None:
    table = write_table(tmp_path / "d.csv", **facts)
    with pytest.raises(InputError, match=words):
        main(["--table", str(table), "--result", str(made / "result.json"), "--out", str(tmp_path / "v.json")])
    assert {path.name for path in tmp_path.iterdir()} == {"d.csv"}


def edited(content: Any, place: Sequence[str | int], value: Any) -> Any:
    """JSON with another value at a place."""
    if not place:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[place[0]] = edited(copy[place[0]] if place[0] in copy or isinstance(copy, list) else None, place[1:], value)
    return copy


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["verification"], {}, "was verified: name the result.json that it was made of"),
        (["tables"], {"e\x1b": {}}, "is of 'e.x1b', not of"),
        (["tables"], 3, "tables is of another kind"),
        (["tables", "d"], [1], "is of 'd', not of"),
        (["settings"], 3, "settings is of another kind"),
        (["settings", "together"], True, "holds one network for several tables"),
        (["settings", "kernel_sizes"], "357", "--kernel-sizes is '357', expected a list"),
        (["settings", "kernel_sizes"], [9], "mbv3-w0.35 has no 9 among its kernel sizes"),
        (["settings", "max_macs"], "many", "--max-macs is 'many', expected"),
        (["settings", "max_macs"], -1, "result.json: --max-macs is -1, expected a number above 0"),
        (["settings", "method"], "guess", "--method is 'guess', expected"),
        (
            ["settings", "predictor", "sha256"],
            "0" * 64,
            "was searched by another predictor than the one that is shipped",
        ),
        (["settings", "predictor"], None, "was searched by another predictor than the one that is shipped"),
        (["settings", "latency"], [], "was searched without latency limits: name them by --latency, or how many"),
        (
            ["predictor"],
            {"path": "gone.safetensors"},
            "by the predictor 'gone.safetensors', which is not there: name it",
        ),
        (["predictor"], {"path": "\0"}, "which is not there"),
        (["predictor"], [], "predictor is of another kind"),
        (["results"], [], "was searched within 0.35 ms, but its results have no network for that limit: deleted or"),
        (["results"], 3, "results is of another kind"),
        (["results"], [3], "results.0. is 3, expected what ofa.search writes"),
        (["results", 1, "limit_ms"], "5", "results.1..limit_ms is '5', expected a number of milliseconds"),
        (
            ["results", 1, "limit_ms"],
            0.001,
            "within 0.5 ms, but its results have no network for that limit: deleted or ed",
        ),
        (["settings", "latency"], 3, "settings.latency is 3, expected a list of milliseconds"),
        (["settings", "latency"], ["5"], "settings.latency.0. is '5', expected a number of milliseconds"),
        (["results", 0, "latency_ms"], None, "results.0..latency_ms is missing, expected a number of milliseconds"),
        (
            ["results", 0, "latency_ms"],
            0.1,
            "results.0. takes 0.1 ms, but .* as it is now: measured or validated again",
        ),
        (
            ["results", 0, "subnet", "resolution"],
            64,
            "results.0. is of 64 px, which the table and the predictor do not",
        ),
        (["results", 0, "subnet", "depths"], [9] * 5, "not a sub-network of mbv3-w0.35"),
        (["space"], "mbv3-w9", "mbv3-w9"),
        (["num_classes"], 11, "the predictor's accuracies are of 10 classes"),
    ],
)
def test_a_result_that_cannot_be_gone_on_with_is_refused(
    made: Path, tmp_path: Path, place: list[str | int], value: Any, words: str
) -> None:
    content = json.loads((made / "result.json").read_text())
    write_json(
        tmp_path / "result.json",
        edited({"verification": None, **content} if place[0] == "verification" else content, place, value),
    )
    with pytest.raises(InputError, match=words) as refused:
        main(["--table", str(made / "d.csv"), "--result", str(tmp_path / "result.json")])
    message = str(refused.value)
    assert (message.isprintable(), "result.json" in message, len(message) < 400) == (True, True, True), message
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_table_that_was_edited_since_is_refused_though_no_found_network_uses_the_block(
    made: Path, tmp_path: Path
) -> None:
    table = LatencyTable.load(made / "d.csv")
    used = {block for r in found(made) for block in blocks_of(SPACE, SPACE.subnet_from_dict(r["subnet"]))}
    unused = next(row for row in table.rows if row.block not in used)
    edited_rows = [replace(row, latency_ms=2 * row.latency_ms) if row is unused else row for row in table.rows]
    LatencyTable(table.header, edited_rows).save(tmp_path / "d.csv")
    given = ["--table", str(tmp_path / "d.csv"), "--out", str(tmp_path / "v.json"), "--result"]
    with pytest.raises(
        InputError, match=r"was searched in other rows or by another sum_correction than .*d.csv has now"
    ):
        main([*given, str(made / "result.json")])
    # results of before that was said: what their own networks take by the table is compared
    older = json.loads((made / "result.json").read_text())
    del older["tables"]["d"]["sums"]
    LatencyTable({**table.header, "sum_correction": "scale=1.1"}, table.rows).save(tmp_path / "d.csv")
    write_json(tmp_path / "older.json", older)
    with pytest.raises(InputError, match=r"results\[0\] takes .* ms, but .* ms by .* as it is now: measured or valid"):
        main([*given, str(tmp_path / "older.json")])


def test_a_frontier_without_its_networks_is_no_frontier(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "frontier" / "result.json").read_text())
    write_json(tmp_path / "result.json", {**content, "results": []})
    given = ["--table", str(made / "d.csv"), "--result", str(tmp_path / "result.json")]
    with pytest.raises(
        InputError, match=r"result.json has no results of .*d.csv: deleted or edited since; search again"
    ):
        main([*given, "--limits", "3"])


def test_limits_of_a_result_without_any_and_limits_below_the_least(made: Path, tmp_path: Path, run: Run) -> None:
    given = ["--table", str(made / "d.csv"), "--result", str(made / "frontier" / "result.json")]
    with pytest.raises(InputError, match="was searched without latency limits: name them by --latency"):
        main([*given, "--out", str(tmp_path / "v.json")])
    with pytest.raises(Infeasible, match=r"runs within 0\.01 ms on D: the fastest takes"):
        main([*given, "--latency", "0.01", "--out", str(tmp_path / "v.json")])
    code, content = run(PlantedDevice(whole(lambda _: 1.0)), "--latency", "0.4")
    assert (code, [(r["limit_ms"], r["found"]) for r in content["results"]]) == (0, [(0.4, None)])


@pytest.mark.parametrize("name", [".", "/"])
def test_a_folder_without_a_name_is_no_result(name: str) -> None:
    with pytest.raises(InputError, match=rf"^--result is {name}, a folder: name a file"):
        main(["--table", "note10", "--result", name])
