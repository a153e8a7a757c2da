"""Networks by name, by file and by code in the file that an estimated table rests on."""

import json
from pathlib import Path

import numpy as np
import pytest

from ofa.errors import InputError
from ofa.published.block_list import block_list
from ofa.published.opening import open_network
from ofa.tables import LatencyTable
from profilers.estimating.cost_model import table_terms, terms_of_networks
from profilers.estimating.sources import _MOST, open_sources
from profilers.estimating.timed_networks import read_timed
from profilers.transfer import main

NAMES = (
    *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "mnasnet_b1", "efficientnet_lite0", "resnet18"),
    *("mobilenet_v4_conv_small", "fbnet_c", "proxylessnas_mobile"),
)
FBNET = "fbnet:" + "5 " * 22


def written(folder: Path, rows: list[tuple[str, int | str, float]]) -> Path:
    path = folder / "networks.csv"
    lines = [f"{network},{resolution},{ms:.6f}" for network, resolution, ms in rows]
    path.write_text("\n".join(["# device: D", "# runtime: R", "network,resolution,latency_ms", *lines]) + "\n")
    return path


def test_each_is_read_as_any_command_takes_it(tmp_path: Path) -> None:
    mine = open_network("mobilenet_v2_050", 96, 10)
    (tmp_path / "mine.json").write_text(json.dumps(block_list(mine)))
    path = written(tmp_path, [("mobilenet_v2", 160, 5), ("mine.json", "", 2), (FBNET, "", 1), ("resnet18@64", "", 4)])
    timed = read_timed(path)
    assert timed.blocks == (
        open_network("mobilenet_v2", 160).blocks,
        mine.blocks,
        open_network(FBNET).blocks,
        open_network("resnet18", 64).blocks,
    )
    assert timed.names == ("mobilenet_v2", "mobilenet_v2_050", "", "resnet18")
    assert timed.latency_ms.tolist() == [5, 2, 1, 4]
    for row, words in (
        (("mobilnet_v2", "", 1.0), r"networks.csv:4:1: there is no published network 'mobilnet_v2'"),
        (("mobilenet_v2", 16, 1.0), r"networks.csv:4:1: resolution is '16', expected a whole number of pixels"),
        (("gone.json", "", 1.0), r"gone.json: no such file, expected a JSON list of blocks"),
        (("chain:224 conv", "", 1.0), r"networks.csv:4:1: network: block 'conv' is not such as"),
    ):
        with pytest.raises(InputError, match=words):
            read_timed(written(tmp_path, [row]))
    with pytest.raises(InputError, match="this network is on line 4 already"):
        read_timed(written(tmp_path, [("mobilenet_v2", "", 1.0), ("mobilenetv2_100", 224, 2.0)]))


def test_a_column_keeps_its_own_rows_and_facts_and_is_a_source_by_its_name(tmp_path: Path) -> None:
    """More networks than a source looks at, some of which a column's device did not run."""
    rng = np.random.default_rng(0)
    codes = [f"fbnet:{' '.join(map(str, of))}" for of in rng.integers(0, 9, (_MOST + 201, 22))]
    terms = terms_of_networks([open_network(code).blocks for code in codes])
    ms = terms @ rng.uniform(0.5, 1.5, terms.shape[1]) * 1e-6
    there = np.arange(len(codes)) % 7 > 0
    lines = [f"# of {name}_ms: Phone {name} | runtime {name} | {n} | int8" for n, name in enumerate("abc", 1)]
    lines.append("network,a_ms,b_ms,c_ms")
    for code, each, run in zip(codes, ms, there, strict=True):
        lines.append(f"{code},{2 * each:.9f},{f'{each:.9f}' if run else ''},{3 * each:.9f}")
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    timed = read_timed(path, "b_ms")
    np.testing.assert_allclose(timed.latency_ms, ms[there], atol=1e-9)
    assert timed.blocks[-1] == open_network(codes[-1]).blocks
    facts = {"device": "Phone b", "runtime": "runtime b", "threads": "2", "dtype": "int8"}
    assert timed.header.items() >= facts.items()
    (source,) = open_sources([f"{path}:b_ms"])
    assert source.name == "list:b"
    np.testing.assert_allclose(terms @ source.weights_ms, ms, rtol=0.02)


def test_a_table_of_a_space_is_estimated_from_them(tmp_path: Path) -> None:
    """A device that takes as long as it has multiply-accumulates: what fits the networks gives its blocks."""
    weights = np.zeros(11)
    weights[:5] = 1e-8
    rows: list[tuple[str, int | str, float]] = []
    for name in NAMES:
        terms = table_terms(open_network(name, 160).blocks).sum(axis=0)
        rows.append((name, 160, float(terms @ weights)))
    out = tmp_path / "d.csv"
    given = ["--networks", str(written(tmp_path, rows)), "--space", "mbv3-w1.0", "--resolutions", "160"]
    file = tmp_path / "networks.csv"
    text = file.read_text()
    file.write_text(f"# batch: many\n{text}")
    for more in ((), ("--unit", "ms")):
        with pytest.raises(InputError, match=r"networks.csv: header batch is 'many', expected a whole number"):
            main([*given, *more, "--from", "note10", "--out", str(out)])
    assert not out.exists()
    file.write_text(text)
    assert main([*given, "--from", "note10", "--out", str(out)]) == 0
    table = LatencyTable.load(out)
    assert (table.device, table.provenance) == ("D", "estimated")
    assert "9 of networks in no space" in table.header["networks"]
