"""`ofa costs`: what networks cost that are in no space, and what a table says of them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa import costs
from ofa.blocks import blocks_of
from ofa.blocks.costs import count_macs, count_params, peak_activation_bytes
from ofa.costs import CostsConfig, network_costs
from ofa.errors import InputError, UsageError
from ofa.published.opening import open_network
from ofa.space import get_space
from ofa.space.description import space_record
from ofa.tables import LatencyTable, find_table
from ofa.tables.lookup import sum_of_blocks


def test_names_are_listed_with_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["mobilenet_v2"] or "mobilenet_v2 " in line]
    shown = [word for word in line.split() if word[0].isalnum()]
    assert shown == ["mobilenet_v2", "224", "300.8", "3.505", "6.02", "21"]
    assert lines[-1].startswith("23 networks; ")


def test_a_network_block_by_block_and_as_a_list_to_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.json"
    assert costs.main(["mobilenet_v2", "--resolution", "96", "--num-classes", "10", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "conv 96x96x3>32 k3 s2 relu6" in shown
    assert shown.endswith(f"wrote {out}: 21 blocks\n")
    assert open_network(str(out)).blocks == open_network("mobilenet_v2", 96, 10).blocks
    first = shown.count("\n")
    assert costs.main([str(out), "resnet18"]) == 0
    assert capsys.readouterr().out.count("\n") < first  # several are a line each
    with pytest.raises(UsageError, match="it is for one network"):
        CostsConfig(networks=("resnet18", "resnet34"), out=out)


@pytest.mark.parametrize("name", ["note10", "i7-8700k", "epyc-vm-tflite"])
def test_sums_of_a_spaces_networks_are_those_of_the_search(name: str, tmp_path: Path) -> None:
    table = LatencyTable.load(find_table(name))
    space = get_space(table.spaces[0], table.num_classes)
    genes = space.sample(np.random.default_rng(0), 20, resolutions=[160, 164, 224])
    for subnet in space.decode(genes):
        expected = table.latency_ms(space, subnet)[0]
        found = sum_of_blocks(table, blocks_of(space, subnet))
        assert found.latency_ms == pytest.approx(expected, rel=1e-12)
        lookup = table.lookup(space, [subnet.resolution])
        assert found.interpolated.any() == lookup.interpolated(space.encode([subnet]))[0]
    # the same from a file of the search
    path = tmp_path / "result.json"
    result = {"subnet": subnet.to_dict()}
    path.write_text(json.dumps({"space": space.name, "num_classes": table.num_classes, "results": [result, result]}))
    (one, other) = network_costs(CostsConfig(networks=(str(path),), table=name), table)
    assert one.to_dict() == {
        "name": "result[0]",
        "resolution": subnet.resolution,
        "macs": count_macs(space, subnet),
        "params": count_params(space, subnet),
        "peak_bytes": peak_activation_bytes(space, subnet),
        "latency_ms": pytest.approx(expected, rel=1e-12),
    }
    assert other.network.name == "result[1]"


def test_a_result_of_a_space_that_only_the_result_describes(tmp_path: Path) -> None:
    space = get_space(str(Path(__file__).parents[2] / "examples" / "mobilenet_v4.toml"))
    subnet = space.decode(space.sample(np.random.default_rng(0), 1))[0]
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**space_record(space), "num_classes": 10, "results": [{"subnet": subnet.to_dict()}]}))
    (found,) = network_costs(CostsConfig(networks=(str(path),)), None)
    own = replace(space, num_classes=10)
    assert (found.network.macs, found.network.params) == (count_macs(own, subnet), count_params(own, subnet))


def test_what_a_table_lacks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    table = LatencyTable.load(find_table("note10"))
    found = sum_of_blocks(table, open_network("mobilenet_v2").blocks)
    assert found.latency_ms is None
    for block, ms in zip(found.blocks, found.block_ms, strict=True):
        assert math.isnan(ms) == (block in found.missing)
    assert costs.main(["mobilenet_v2", "--table", "note10"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "mobilenet_v2: the table lacks 16 of its blocks, such as conv 224x224x3>32 k3 s2 relu6" in lines
    with pytest.raises(InputError, match="there is no published network 'mobilenet_v9'"):
        costs.main(["mobilenet_v9"])
