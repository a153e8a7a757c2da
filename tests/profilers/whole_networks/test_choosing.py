"""Which networks are measured: of all sizes, evenly, all different, as many as asked or as there are."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.blocks.costs import block_macs, count_macs
from ofa.space import SearchSpace, get_space
from ofa.tables import LatencyTable, TableRow
from profilers.profiling.control_networks import SHARES, chosen_networks
from profilers.whole_networks.choosing import choose, stratified

SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 160)
HEADER = {"device": "D", "runtime": "onnxruntime 1", "provenance": "measured", "space": "mbv3-w1.0", "source": "test"}


def of_two_layers() -> SearchSpace:
    """Of units of one or two layers whose kernels alone are a choice: 2 + 4 configurations, in two units."""
    units = tuple(
        replace(unit, base_depth=1, depth_choices=(0, 1), kernel_sizes=(3, 5), expand_ratios=(3,))
        for unit in SPACE.units[:2]
    )
    return replace(SPACE, units=units)


@cache
def table(space: SearchSpace) -> LatencyTable:
    """Latencies by MACs."""
    rows = [TableRow(block, 0.01 + block_macs(block) / 1e7) for block in all_blocks(space, RESOLUTIONS)]
    return LatencyTable(HEADER, rows)


@pytest.mark.parametrize(("count", "off"), [(3, 0.1), (600, 0.02)])
def test_each_network_is_the_middle_of_its_share_of_all(count: int, off: float) -> None:
    chosen = stratified(table(SPACE), SPACE, RESOLUTIONS, count, np.random.default_rng(0))
    assert len(np.unique(chosen, axis=0)) == len(chosen) == count
    # others, drawn in the way that the documentation states
    rng = np.random.default_rng(1)
    lean = np.clip(rng.uniform(-0.1, 1.1, 30_000), 0, 1)
    genes = SPACE.sample_leaning(rng, lean, rng.choice(np.array(RESOLUTIONS, dtype=np.uint16), len(lean)))
    others = np.sort(table(SPACE).latency_ms(SPACE, np.unique(genes, axis=0)))
    ranks = np.searchsorted(others, table(SPACE).latency_ms(SPACE, chosen)) / len(others)
    assert ranks == pytest.approx((np.arange(count) + 0.5) / count, abs=off)


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (7, 7), (71, 71), (72, 72), (73, 72), (700, 72)])
def test_there_are_as_many_as_asked_and_no_more_than_the_space_has(asked: int, given: int) -> None:
    space = of_two_layers()
    assert space.count(resolutions=RESOLUTIONS) == 72
    chosen = choose(table(space), space, RESOLUTIONS, asked, seed=0)
    assert len(np.unique(chosen.genes, axis=0)) == len(chosen.genes) == chosen.count == given
    latencies = table(space).latency_ms(space, chosen.genes)
    assert latencies.tolist() == sorted(latencies)


@pytest.mark.parametrize("resolutions", [(128, 160), (224, 48, 96)])
def test_whole_networks_of_a_profile_are_from_small_to_large(resolutions: tuple[int, ...]) -> None:
    chosen = chosen_networks(SPACE, resolutions, seed=0)
    macs = count_macs(SPACE, chosen)
    assert macs.tolist() == sorted(macs)
    assert len(set(chosen)) == len(chosen) == len(SHARES) == 12
    assert {subnet.resolution for subnet in chosen} <= set(resolutions)
    # from where hardly any network of random choices is to where hardly any is, and evenly between (of 200 candidates)
    random = count_macs(SPACE, SPACE.sample(np.random.default_rng(1), 1000, resolutions=resolutions))
    assert macs[0] < np.quantile(random, 0.01) and macs[-1] > np.quantile(random, 0.98)
    rng = np.random.default_rng(2)
    pixels = rng.choice(np.array(resolutions, dtype=np.uint16), 2000)
    others = np.sort(count_macs(SPACE, SPACE.sample_leaning(rng, rng.random(2000), pixels)))
    assert np.searchsorted(others, macs) / len(others) == pytest.approx(np.array(SHARES), abs=0.12)
    assert chosen == chosen_networks(SPACE, resolutions, seed=0) != chosen_networks(SPACE, resolutions, seed=1)
