"""Energies of networks with their errors, and the model of blocks: against planted ones."""

import math

import numpy as np
import pytest

from ofa.blocks import all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.energies.battery import Power, Turn
from profilers.energies.energy_model import EnergyModel, energies_of, fit_energies, with_energies

RNG = np.random.default_rng(0)
MS, MMACS = RNG.uniform(5, 40, 10), RNG.uniform(50, 500, 10)


def turn(mj: float, step_mw: float = 0.0) -> Turn:
    return Turn(Power(400, 0, step_mw), Power(400 + 100 * mj, 100, step_mw))


@pytest.mark.parametrize(("watts", "per_mmac"), [(0.8, 0.0), (0.0, 0.03), (0.5, 0.02)])
def test_a_planted_model_is_found(watts: float, per_mmac: float) -> None:
    found = fit_energies(MS, MMACS, watts * MS + per_mmac * MMACS)
    assert (found.watts, found.per_mmac) == pytest.approx((watts, per_mmac), abs=1e-9)
    assert found.worst_pct == pytest.approx(0, abs=1e-9)


def test_noise_does_not_buy_a_second_term_and_is_told_by_networks_left_out() -> None:
    energy = 0.8 * MS * np.exp(0.05 * RNG.standard_normal(10))
    found = fit_energies(MS, MMACS, energy)
    assert (found.per_mmac, found.watts) == (0, pytest.approx(0.8, rel=0.05))
    # by hand: each network by the others' factor of least relative error
    ratios = MS / energy
    left_out = [
        ratios[i] * np.delete(ratios, i).sum() / (np.delete(ratios, i) ** 2).sum() - 1 for i in range(len(ratios))
    ]
    assert found.left_out == pytest.approx(left_out)
    assert found.mape_pct == pytest.approx(100 * np.abs(left_out).mean())


def test_no_term_is_below_nothing() -> None:
    found = fit_energies(MS, MMACS, 0.8 * MS - 0.01 * MMACS * (MS > 20))
    assert min(found.watts, found.per_mmac) >= 0


def test_the_error_of_a_network_is_that_of_all_repeats_and_the_sensors_steps() -> None:
    found = energies_of([[turn(10), turn(12)], [turn(20), turn(20)]])
    # relative squares 2 * (1 / 11) ** 2 and 0, over one degree of freedom each
    share = math.sqrt(2 / 121 / 2)
    assert [of.energy_mj for of in found] == pytest.approx([11, 20])
    assert [of.error_mj for of in found] == pytest.approx([11 * share / math.sqrt(2), 20 * share / math.sqrt(2)])
    with pytest.raises(InputError, match=r"their steps leave an error of 41% of a network's energy, and at most 25%"):
        energies_of([[turn(10, 1000), turn(10, 1000)]])
    coarse = energies_of([[turn(10, 300), turn(10, 300)]])
    assert coarse[0].error_mj == pytest.approx(300 * math.sqrt(2) / math.sqrt(12) / 100)


def test_a_network_that_takes_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="network 2 took no more power than an idle device"):
        energies_of([[turn(10), turn(12)], [turn(-1), turn(0.5)]])


def test_blocks_add_up_to_what_the_model_says_of_networks() -> None:
    space = get_space("mbv3-w0.35", 10)
    facts = {"device": "D", "runtime": "R", "provenance": "measured", "space": space.name, "source": "a test"}
    facts |= {"sum_correction": "scale=1.1 weights=0.02 borders=0 calls=0.001", "energy_counter": "an older one"}
    rows = [TableRow(block, round(0.01 + block_macs(block) / 2e7, 6), runs=5) for block in all_blocks(space, [48, 96])]
    table = LatencyTable(facts, rows)
    found = with_energies(table, EnergyModel(0.5, 0.02, np.zeros(1)), {"energy_provenance": "estimated"})
    genes = space.sample(np.random.default_rng(1), 20, resolutions=[48, 96])
    mmacs = [sum(map(block_macs, blocks_of(space, subnet))) / 1e6 for subnet in space.decode(genes)]
    expected = 0.5 * table.latency_ms(space, genes) + 0.02 * np.array(mmacs)
    assert found.energy_mj(space, genes) == pytest.approx(expected, abs=1e-4)
    assert found.latency_ms(space, genes) == pytest.approx(table.latency_ms(space, genes))
    assert (found.header["energy_provenance"], "energy_counter" in found.header) == ("estimated", False)
    assert [row.runs for row in found.rows] == [row.runs for row in rows]
