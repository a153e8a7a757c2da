"""Searching under a limit of energy, and for the frontier of energy."""

import json
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs
from ofa.checkpoints.subnet_file import read_subnet
from ofa.errors import Infeasible, InputError
from ofa.predictors.accuracy import AccuracyPredictor, Uncertainty
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.mlp import Mlp
from ofa.search.__main__ import main
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow

SPACE = get_space("mbv3-w1.0")


def write_table(folder: Path, **header: str) -> LatencyTable:
    """1 ms a 10 MMACs; large kernels take more energy than their latency says."""
    facts = {"device": "Toy", "runtime": "none", "provenance": "measured", "space": "mbv3-w1.0", "source": "a test"}
    rows = []
    for block in all_blocks(SPACE, [160]):
        ms = round(0.01 + block_macs(block) / 1e7, 6)
        rows.append(TableRow(block, ms, energy_mj=round(0.1 * ms * block.kernel_size**2, 6)))
    LatencyTable({**facts, **header}, rows).save(folder / "device.csv")
    return LatencyTable.load(folder / "device.csv")


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    encoder = FeatureEncoder(SPACE, [160])
    rng = np.random.default_rng(0)
    weight = (rng.random((encoder.num_features, 1)) + np.arange(encoder.num_features)[:, None] % 3) * 0.1
    member = Mlp((weight.astype(np.float32),), (np.full(1, 60, np.float32),))
    predictor = AccuracyPredictor(encoder, [member], {"description": "a toy"}, Uncertainty((0.2,), 1.0, 0.1))
    predictor.save(tmp_path / "toy.safetensors")
    write_table(tmp_path)
    return [
        "--table", str(tmp_path / "device.csv"), "--predictor", str(tmp_path / "toy.safetensors"),
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip


def results(tmp_path: Path) -> list[dict]:
    return json.loads((tmp_path / "out" / "result.json").read_text())["results"]


def test_a_limit_of_energy_holds_and_costs_accuracy(
    toy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*toy, "--latency", "30"])
    (free,) = results(tmp_path)
    table = LatencyTable.load(tmp_path / "device.csv")
    assert free["energy_mj"] == pytest.approx(
        table.energy_mj(SPACE, SPACE.subnet_from_dict(free["subnet"]))[0], abs=1e-5
    )
    limit = 0.6 * free["energy_mj"]
    capsys.readouterr()
    main([*toy, "--latency", "30", "--max-energy", str(limit)])
    (limited,) = results(tmp_path)
    assert 0.9 * limit < limited["energy_mj"] <= limit
    assert limited["latency_ms"] <= 30
    assert limited["predicted_top1"] < free["predicted_top1"]
    printed = capsys.readouterr().out
    assert "energy mJ" in printed
    assert "energies are sums of blocks (its counter is not known)" in printed


def test_the_frontier_of_energy_runs_from_the_thriftiest_up(
    toy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*toy, "--frontier", "energy"])
    found = results(tmp_path)
    energies, accuracies = ([r[key] for r in found] for key in ("energy_mj", "predicted_top1"))
    smallest, largest = (SPACE.subnet([k] * 20, [e] * 20, [d] * 5, 160) for k, e, d in ((3, 3, 2), (7, 6, 4)))
    table = LatencyTable.load(tmp_path / "device.csv")
    assert energies[0] == pytest.approx(table.energy_mj(SPACE, smallest)[0], abs=1e-5)
    assert energies[-1] > 0.8 * table.energy_mj(SPACE, largest)[0]
    assert energies == sorted(energies)
    assert accuracies == sorted(accuracies)
    assert all(r["limit_ms"] is None and r["energy_mj"] <= r["limit_mj"] + 1e-6 for r in found)
    assert "limit mJ" in capsys.readouterr().out
    # what comes after a search reads it all the same
    fastest = min(r["latency_ms"] for r in found)
    assert read_subnet(tmp_path / "out" / "result.json", limit_ms=fastest).facts["latency_ms"] == fastest


def test_what_energy_cannot_be_is_said(toy: list[str], tmp_path: Path) -> None:
    with pytest.raises(Infeasible, match=r"has at most 1 mJ: the least is \d+"):
        main([*toy, "--latency", "30", "--max-energy", "1"])
    with pytest.raises(InputError, match=r"--max-energy is -1\.0, expected a number above 0"):
        main([*toy, "--max-energy", "-1"])
    with pytest.raises(InputError, match="leave out --latency"):
        main([*toy, "--latency", "30", "--frontier", "energy"])
    table = LatencyTable.load(tmp_path / "device.csv")
    rows = [TableRow(row.block, row.latency_ms) for row in table.rows]
    LatencyTable(table.header, rows).save(tmp_path / "device.csv")
    for arguments in (["--frontier", "energy"], ["--latency", "30", "--max-energy", "90"]):
        with pytest.raises(InputError, match=r"has no energy_mj for \d+ blocks .* measure them with --energy"):
            main([*toy, *arguments])
