"""Accel-NASBench's space as a description: its networks have the parameters that their authors state."""

import csv
import gzip
from pathlib import Path

import numpy as np

from ofa.blocks import blocks_of
from ofa.blocks.costs import count_params
from ofa.published.coded import blocks_of_code
from ofa.space import get_space

SPACE = Path(__file__).parents[3] / "examples" / "accel_nasbench.toml"


def test_all_networks_have_the_stated_blocks_and_parameters(reference: Path) -> None:
    text = gzip.decompress((reference / "networks" / "accel_nasbench.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    space = get_space(str(SPACE))
    # (1926, 7) of each unit
    e, k, depths, se = (np.array([row[name].split() for row in rows], dtype=int) for name in ("e", "k", "l", "se"))
    units = [u for u, _ in space.layers]
    values = np.concatenate([np.full((len(rows), 1), 224), depths, k[:, units], e[:, units], se[:, units]], axis=1)
    # both have one column for each gene but the resolution
    genes = np.stack([values[:, 0], *map(np.searchsorted, space.choices[1:], values.T[1:])], axis=1)
    subnets = space.decode(space.as_genes(genes))
    assert len(subnets) == 1926
    for row, subnet, gates, layers in list(zip(rows, subnets, se, depths, strict=True))[::5]:
        coded = blocks_of_code("mnasnet:" + "|".join(row[name] for name in ("e", "k", "l", "se")))
        assert coded == tuple(blocks_of(space, subnet))
        se_of = [block.op == "mbconv_se_in" for block in coded if block.op.startswith("mbconv")]
        assert se_of == np.repeat(gates == 1, layers).tolist()
    assert count_params(space, subnets).tolist() == [round(1e6 * float(row["params_m"])) for row in rows]
