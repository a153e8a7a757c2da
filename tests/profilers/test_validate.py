"""How well sums predict whole networks: the command on a real runtime."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from ofa.blocks import all_blocks, block_index
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow, find_table
from profilers.cpu import main as profile
from profilers.measuring.pace import CPU_PACE
from profilers.validate import main
from tests.helpers.machines import Kind, plant_machine
from tests.helpers.short import hasty_visits
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice

SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 160)
HEADER = {"device": "D", "runtime": "onnxruntime 1", "provenance": "measured", "space": "mbv3-w1.0", "source": "test"}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of a quiet machine."""
    path = tmp_path_factory.mktemp("profiled") / "t.csv"
    with pytest.MonkeyPatch.context() as patched:
        hasty_visits(patched)
        profile(["--space", "mbv3-w0.35", "--resolutions", "64", "--quick", "--rounds", "1", "--out", str(path)])
    return path


@pytest.mark.drawn
@pytest.mark.parametrize(("machine", "slower", "expected"), [("quiet", 1.0, 0), ("fitful", 1.0, 0), ("quiet", 1.4, 1)])
def test_a_measured_table_is_validated_or_refused_for_a_changed_machine(
    machine: Kind, slower: float, expected: int,
    profiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path, before = tmp_path / "t.csv", profiled.read_bytes()
    path.write_bytes(before)
    hasty_visits(monkeypatch)
    plant_machine(monkeypatch, machine, slower=slower)
    code = main(["--table", str(path), "--networks", "10"])
    assert code == expected
    result = json.loads((tmp_path / "t.validation.json").read_text())
    assert len(result["networks"]) == 10
    assert result["scores"]["networks"] == 8
    assert (result["fitted_on"], [n["scored"] for n in result["networks"]].count(False)) == (2, 2)
    assert (tmp_path / "t.validation.png").read_bytes().startswith(b"\x89PNG")
    loaded = LatencyTable.load(path)
    space = get_space("mbv3-w0.35")
    for network in result["networks"]:
        subnet = space.subnet_from_dict(network["subnet"])
        if code == 0:
            assert network["predicted_ms"] == pytest.approx(loaded.latency_ms(space, subnet)[0], rel=1e-3)
        assert network["measured_ms"] > 0
    if code == 0:
        assert loaded.header["sum_correction"].startswith(result["sum_correction"])
        assert loaded.header["expected_error"].startswith(f"MAPE {result['scores']['mape_pct']} %")
        assert loaded.margins is not None
        assert (loaded.margins.networks, len(loaded.margins.fast + loaded.margins.slow)) == ("random", 8)
    else:
        assert path.read_bytes() == before
        assert "Close other programs and validate again" in capsys.readouterr().out


def test_only_tables_measured_here_can_be_validated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is imported: only a measured table"):
        main(["--table", str(find_table("note10"))])
    blocks = all_blocks(SPACE, RESOLUTIONS)
    made_up = LatencyTable(HEADER, [TableRow(block, 0.01 + block_macs(block) / 1e7) for block in blocks])
    LatencyTable({**made_up.header, "runtime": "cuda 13"}, made_up.rows).save(tmp_path / "gpu.csv")
    with pytest.raises(InputError, match="runtime 'cuda 13' is none of the CPU's"):
        main(["--table", str(tmp_path / "gpu.csv")])
    with pytest.raises(InputError, match="--networks is 3, expected at least 10"):
        main(["--table", str(tmp_path / "gpu.csv"), "--networks", "3"])
    assert len(block_index(SPACE, RESOLUTIONS).blocks) == len(made_up.rows)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((command, "--visits") for command in ("validate", "margin", "baselines", "verify")),
        *((command, "--rounds") for command in ("cpu", "gpu", "linux", "android")),
    ],
)
def test_so_many_visits_that_their_order_alone_fills_memory_are_refused(command: str, option: str) -> None:
    given = {"verify": ["--result", "r"], "linux": ["--host", "h"]}.get(command, [])
    given += ["--table", "t"] if option == "--visits" else ["--out", "o.csv"]
    for visits in (1001, 10**9):
        with pytest.raises(InputError, match=f"{option} is {visits}, expected visits from [12] to 1000"):
            import_module(f"profilers.{command}").main([*given, option, str(visits)])


def planted(folder: Path, patch: pytest.MonkeyPatch, more_ms: float = 0) -> tuple[Path, PlantedDevice]:
    """A small table, and its device. more_ms: how much longer every block of a network takes than the table says"""
    space, path = get_space("mbv3-w0.35"), folder / "t.csv"
    facts = {**HEADER, "runtime": RUNTIME, "soc": SOC, "space": space.name, "resolutions": "64"}
    LatencyTable(facts, [TableRow(b, 0.01 + block_macs(b) / 1e7) for b in all_blocks(space, [64])]).save(path)
    device = PlantedDevice(lambda c: sum(0.01 + more_ms * (len(c) > 1) + block_macs(block) / 1e7 for block in c))

    def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
        return device.measure(plan, target, rules, seed, journal=journal)

    patch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
    patch.setattr("profilers.profiling.console.measure_shown", shown)
    return path, device


def test_a_table_that_changes_while_networks_are_measured_stays_as_it_is_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, path = get_space("mbv3-w0.35"), tmp_path / "t.csv"
    blocks = all_blocks(space, [64])
    facts = {**HEADER, "runtime": RUNTIME, "soc": SOC, "space": space.name, "resolutions": "64"}
    LatencyTable(facts, [TableRow(block, 0.01 + block_macs(block) / 1e7) for block in blocks]).save(path)
    again = LatencyTable(facts, [TableRow(block, 0.02 + block_macs(block) / 1e7) for block in blocks])
    device = PlantedDevice(lambda chain: sum(0.01 + block_macs(block) / 1e7 for block in chain))

    def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
        again.save(path)
        return device.measure(plan, target, rules, seed, journal=journal)

    monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
    monkeypatch.setattr("profilers.profiling.console.measure_shown", shown)
    (tmp_path / "t.validation.png").mkdir()
    with pytest.raises(InputError, match=r"t\.validation\.png is a folder: name a file"):
        main(["--table", str(path), "--networks", "10"])
    assert device.visits == 0
    (tmp_path / "t.validation.png").rmdir()
    with pytest.raises(InputError, match=r"t\.csv was changed while its networks were measured: nothing was written"):
        main(["--table", str(path), "--networks", "10"])
    assert LatencyTable.load(path).rows == again.rows


def test_a_journal_is_replaced_when_the_validation_is_written_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, device = planted(tmp_path, monkeypatch)
    command = ["--table", str(path), "--networks", "10", "--visits", "2"]
    with monkeypatch.context() as patch, pytest.raises(OSError, match="a full disk"):
        patch.setattr("profilers.whole_networks.validation_report.write", Mock(side_effect=OSError("a full disk")))
        main(command)
    made = device.visits
    with pytest.raises(InputError, match=r"t\.validation\.journal\.jsonl is the journal of an interrupted run"):
        main(command)
    assert main([*command, "--resume"]) == 0
    assert device.visits == made
    assert main(command) == 0
    assert device.visits == 2 * made
    compared = [n["predicted_ms"] for n in json.loads(path.with_suffix(".validation.json").read_text())["networks"]]
    assert str(LatencyTable.load(path).known_range) == f"{min(compared):.4g} to {max(compared):.4g} ms"


def test_a_finished_validation_is_gone_on_with_on_the_same_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has corrected the sums meanwhile, by which networks have another order."""
    path, _ = planted(tmp_path, monkeypatch, more_ms=0.04)
    command, found = ["--table", str(path), "--networks", "40", "--visits", "2"], []
    for more in ([], ["--resume"]):
        assert main([*command, *more]) == 0
        assert LatencyTable.load(path).sum_correction.calls > 0.01
        networks = json.loads(path.with_suffix(".validation.json").read_text())["networks"]
        found.append([(network["subnet"], network["measured_ms"]) for network in networks])
    assert found[0] == found[1]


def test_networks_are_visited_as_often_as_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = planted(tmp_path, monkeypatch)
    for asked, visits in ([], CPU_PACE.whole_rounds), (["--visits", "7"], 7):
        assert main(["--table", str(path), "--networks", "10", *asked]) == 0
        result = json.loads((tmp_path / "t.validation.json").read_text())
        assert {len(network["visits_ms"]) for network in result["networks"]} == {visits}
