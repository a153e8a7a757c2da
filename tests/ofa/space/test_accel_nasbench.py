"""Accel-NASBench's space as a description: its networks have the parameters that their authors state."""

import csv
import gzip
from pathlib import Path

from ofa.blocks import blocks_of
from ofa.blocks.costs import count_params
from ofa.published.coded import blocks_of_code
from ofa.space import get_space

SPACE = Path(__file__).parents[3] / "examples" / "accel_nasbench.toml"


def test_all_networks_have_the_stated_blocks_and_parameters(reference: Path) -> None:
    text = gzip.decompress((reference / "networks" / "accel_nasbench.csv.gz").read_bytes()).decode()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    space = get_space(str(SPACE))
    subnets, stated = [], []
    for row in rows:
        lists = {name: [int(n) for n in row[name].split()] for name in ("e", "k", "l", "se")}
        k, e, se = ([lists[name][u] if j < lists["l"][u] else 0 for u, j in space.layers] for name in ("k", "e", "se"))
        subnets.append(space.subnet(k, e, lists["l"], 224, squeeze_excites=se))
        coded = blocks_of_code("mnasnet:" + "|".join(row[name] for name in ("e", "k", "l", "se")))
        se_of = [block.op == "mbconv_se_in" for block in coded if block.op.startswith("mbconv")]
        assert se_of == [bool(gate) for gate, depth in zip(lists["se"], lists["l"], strict=True) for _ in range(depth)]
        assert coded == tuple(blocks_of(space, subnets[-1]))
        stated.append(round(1e6 * float(row["params_m"])))
    assert len(subnets) == 1926
    assert count_params(space, subnets).tolist() == stated
