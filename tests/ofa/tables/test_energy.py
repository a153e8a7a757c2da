"""Energy by the table: summed as latency is, and refused where the table does not tell."""

from dataclasses import replace

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow

SPACE, RESOLUTIONS = get_space("mbv3-w1.0"), (128, 144, 160)
HEADER = {"device": "D", "runtime": "none", "provenance": "measured", "space": "mbv3-w1.0", "source": "a test"}


def energy(block: Block) -> float:
    """A made-up energy, in mJ, that is no multiple of the latency."""
    return 0.5 + block.in_size**2 * block.kernel_size * 1e-4


def table(resolutions: list[int], without: str = "nothing", **header: str) -> LatencyTable:
    rows = [
        TableRow(b, 0.01 + b.in_size**2 * 1e-6, energy_mj=None if without in str(b) else energy(b))
        for b in all_blocks(SPACE, resolutions)
    ]
    return LatencyTable({**HEADER, **header}, rows)


def test_energy_is_the_sum_of_the_blocks_without_the_correction_of_latencies() -> None:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(0), 20, resolutions=RESOLUTIONS))
    expected = [sum(map(energy, blocks_of(SPACE, subnet))) for subnet in subnets]
    measured = table([128, 144, 160], sum_correction="scale=0.9 weights=0.01 borders=0.02")
    assert measured.energy_mj(SPACE, subnets) == pytest.approx(expected)


def test_energy_between_measured_sizes_is_interpolated_as_latency_is() -> None:
    subnet = SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=[144]))[0]
    rows = [replace(row, energy_mj=3 * row.latency_ms) for row in table([128, 160]).rows]
    measured = LatencyTable(HEADER, rows)
    assert measured.lookup(SPACE, RESOLUTIONS).interpolated(SPACE.as_genes(subnet)).all()
    assert measured.energy_mj(SPACE, subnet) == pytest.approx(3 * measured.latency_ms(SPACE, subnet))


def test_omitted_ops_take_no_energy() -> None:
    whole = table([160])
    subnet = SPACE.decode(SPACE.sample(np.random.default_rng(0), 1, resolutions=[160]))[0]
    rows = [row for row in whole.rows if row.block.op != "global_pool"]
    pooled = sum(energy(block) for block in blocks_of(SPACE, subnet) if block.op == "global_pool")
    omitting = LatencyTable({**HEADER, "omits": "global_pool"}, rows)
    assert pooled > 0
    assert omitting.energy_mj(SPACE, subnet)[0] == pytest.approx(whole.energy_mj(SPACE, subnet)[0] - pooled)


def test_a_block_without_energy_is_named_and_only_where_it_is_needed() -> None:
    partly = table([128, 144, 160], without="k7")
    small, large = (SPACE.subnet([k] * 20, [6] * 20, [4] * 5, 160) for k in (3, 7))
    assert partly.energy_mj(SPACE, small)[0] > 0
    with pytest.raises(InputError, match=r"the table of D has no energy_mj for \d+ blocks .*k7 .*with --energy"):
        partly.energy_mj(SPACE, large)
    with pytest.raises(InputError, match="has no energy_mj for"):
        partly.lookup(SPACE, RESOLUTIONS).require_energy()
    assert partly.latency_ms(SPACE, large)[0] > 0


def test_energies_survive_the_file(tmp_path) -> None:
    path = tmp_path / "t.csv"
    table([160], without="k7").save(path)
    loaded = LatencyTable.load(path)
    assert loaded.rows == table([160], without="k7").rows
    path.write_text(path.read_text().replace(",0.50", ",-0.50"))
    with pytest.raises(InputError, match=r"energy_mj is '-0\.50"):
        LatencyTable.load(path)


def test_rows_hold_what_they_are_given() -> None:
    row = TableRow(all_blocks(SPACE)[0], 1.0, energy_mj=0.0)
    assert replace(row, energy_mj=None).energy_mj is None
    with pytest.raises(InputError, match="energy_mj is nan"):
        replace(row, energy_mj=float("nan"))
