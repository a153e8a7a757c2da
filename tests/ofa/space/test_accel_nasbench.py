"""Accel-NASBench's space as a description: its networks have the parameters that their authors state."""

import csv
import gzip
from pathlib import Path

from ofa.blocks import blocks_of
from ofa.blocks.costs import count_params
from ofa.published.coded import blocks_of_code
from ofa.space import get_space

SPACE = Path(__file__).parents[3] / "examples" / "accel_nasbench.toml"


def test_networks_without_squeeze_and_excite_have_the_stated_parameters(reference: Path) -> None:
    text = gzip.decompress((reference / "networks" / "accel_nasbench.csv.gz").read_bytes()).decode()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    space = get_space(str(SPACE))
    subnets, stated = [], []
    for row in rows:
        expands, kernels, depths, gates = ([int(n) for n in row[name].split()] for name in ("e", "k", "l", "se"))
        coded = blocks_of_code("mnasnet:" + "|".join(row[name] for name in ("e", "k", "l", "se")))
        se_of = [block.op == "mbconv_se_in" for block in coded if block.op.startswith("mbconv")]
        assert se_of == [bool(gate) for gate, depth in zip(gates, depths, strict=True) for _ in range(depth)]
        if any(gates):
            continue
        of_layers = [[values[u] if j < depths[u] else 0 for u, j in space.layers] for values in (kernels, expands)]
        subnets.append(space.subnet(*of_layers, depths, 224))
        assert coded == tuple(blocks_of(space, subnets[-1]))
        stated.append(round(1e6 * float(row["params_m"])))
    assert len(subnets) == 682
    assert count_params(space, subnets).tolist() == stated
