"""Networks that are in no space, measured beside those of a verification or a validation."""

import json
from pathlib import Path
from typing import Any

import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.published.block_list import block_list
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import open_network
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.validate import main as validate
from tests.profilers.verifying.searched import SPACE, Run, found, whole
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice


def of_the_table(folder: Path, name: str, space_name: str, resolution: int) -> Path:
    """A network of some blocks of a space's, which is no network of the space."""
    blocks = all_blocks(get_space(space_name), [resolution])[:2]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(block_list(BlockNetwork(name, tuple(blocks), "test", 50.0))))
    return path


def test_verify_measures_them_once_and_chooses_nothing_by_them(
    run: Run, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = of_the_table(tmp_path, "mine", SPACE.name, found(made)[0]["subnet"]["resolution"])
    device = PlantedDevice(whole(lambda _: 1.2))
    code, content = run(device, "--also", "mobilenet_v3_small", str(mine))
    assert code == 0
    assert len(content["verification"]["rounds"]) > 1
    small, own = content["also"]
    network = open_network("mobilenet_v3_small")
    assert (small["name"], small["resolution"], small["predicted_ms"]) == ("mobilenet_v3_small", 224, None)
    assert small["measured_ms"] == pytest.approx(device.latency_ms(network.blocks), rel=1e-4)
    assert small["missing_blocks"] == len(set(network.blocks))
    assert own["measured_ms"] == pytest.approx(1.2 * own["predicted_ms"], rel=1e-4)
    assert (own["name"], own["top1"], own["missing_blocks"]) == ("mine", 50.0, 0)
    shown = capsys.readouterr().out
    assert f"mobilenet_v3_small, 224 px: {small['measured_ms']:.4g} ms measured; the table lacks" in shown
    assert "ms measured; -16.7%: sum of blocks " in shown
    # the results are those without them
    alone = run(PlantedDevice(whole(lambda _: 1.2)))[1]
    assert "also" not in alone
    assert [r["subnet"] for r in alone["results"]] == [r["subnet"] for r in content["results"]]


def test_validate_measures_them_and_fits_and_scores_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space, path = get_space("mbv3-w0.35"), tmp_path / "t.csv"
    facts = {"device": "D", "runtime": RUNTIME, "soc": SOC, "provenance": "measured", "source": "test"}
    facts |= {"space": space.name, "resolutions": "64"}
    rows = [TableRow(block, 0.01 + block_macs(block) / 1e7) for block in all_blocks(space, [64])]
    LatencyTable(facts, rows).save(path)
    mine = of_the_table(tmp_path, "mine", space.name, 64)
    device = PlantedDevice(
        lambda chain: sum(0.01 + block_macs(block) / 1e7 for block in chain),
        fails=lambda chain: len(chain) == len(open_network("resnet18").blocks),
    )

    def shown(plan: Any, target: Any, rules: Any, seed: int, journal: Any, **_: Any) -> Any:
        return device.measure(plan, target, rules, seed, journal=journal)

    monkeypatch.setattr("profilers.devices.from_header.target_of", lambda *_: device.target())
    monkeypatch.setattr("profilers.profiling.console.measure_shown", shown)
    given = ["--table", str(path), "--networks", "10"]
    assert validate(given) == 0
    before = json.loads((tmp_path / "t.validation.json").read_text())
    assert "also" not in before
    LatencyTable(facts, rows).save(path)
    assert validate([*given, "--also", "fbnet:" + "5 " * 22, str(mine), "resnet18"]) == 1  # one cannot be measured
    after = json.loads((tmp_path / "t.validation.json").read_text())
    assert (after["scores"], after["sum_correction"]) == (before["scores"], before["sum_correction"])
    fbnet, own, failed = after["also"]
    assert fbnet["measured_ms"] == pytest.approx(device.latency_ms(open_network("fbnet:" + "5 " * 22).blocks), rel=1e-4)
    assert own["predicted_ms"] == pytest.approx(own["measured_ms"], rel=1e-3)
    assert failed["measured_ms"] is None
    assert "resnet18, 224 px: could not be measured" in capsys.readouterr().out
    for wrong, words in ((["mobilnet_v2"], "did you mean mobilenet_v2"), (["resnet18"] * 2, "names resnet18 twice")):
        with pytest.raises(InputError, match=words):
            validate([*given, "--also", *wrong])
