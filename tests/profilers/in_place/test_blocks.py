"""Blocks in place, from the visits of a device whose blocks are known: the whole way from samples to a table's rows."""

from typing import Any

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs, block_params
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.in_place.blocks import InPlace, blocks_in_place
from profilers.in_place.carriers import carriers_of
from profilers.measuring.judge import Outcome
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.statistics import summarise

SPACE, RESOLUTIONS = get_space("mbv3-w0.35"), (64, 96)
BLOCKS = all_blocks(SPACE, RESOLUTIONS)
ROUNDS = 3


class Device:
    """alone_ms, placed_ms: what every block takes alone and in a network, where its weights come from further away.

    cutting: a factor on all parts of a network that is cut, of which no factor of the model is one
    converts: ms for each megabyte that a block alone is given or gives, ten times that for planes whole pages apart
    """

    def __init__(self, noise: float = 0.0, call_ms: float = 0.0, cutting: float = 1.0, converts: float = 0.0) -> None:
        rng = np.random.default_rng(1)
        self.rng, self.noise, self.call_ms, self.cutting = rng, noise, call_ms, cutting
        self.alone_ms = {block: 0.05 + block_macs(block) / 5e6 for block in BLOCKS}
        self.placed_ms = {
            block: (1 + rng.normal(0, 0.03)) * ms + 0.05 * 4e-6 * block_params(block)
            for block, ms in self.alone_ms.items()
        }
        for block in BLOCKS:
            # the image and the logits a network converts, too
            given = block.in_size**2 * block.in_channels * (0 if block.in_channels == 3 else 4e-6)
            gives = block.out_size**2 * block.out_channels * (0 if block.op == "linear" else 4e-6)
            self.alone_ms[block] += converts * (given * (10 if block.in_size % 32 == 0 else 1) + gives)

    def samples(self, ms: float) -> list[int]:
        return [round(1e6 * ms * float(np.exp(self.rng.normal(0, self.noise)))) for _ in range(5)]

    def visit(self, plan: VisitPlan, name: str) -> dict[str, Any]:
        if name not in plan.cuts:
            took = self.placed_ms if len(plan.models[name]) > 1 else self.alone_ms
            samples = self.samples(self.call_ms + sum(map(took.get, plan.models[name])))
            return {"id": name, "samples_ns": samples, "cpu_ns": samples, "calls_per_sample": 1}
        # handing a tensor on at a cut costs 0.2 ms a megabyte, on both sides
        parts = plan.parts(name)
        mb = [4e-6 * chain[0].in_size ** 2 * chain[0].in_channels for chain in parts]
        cut = [(mb[i] if i else 0) + (mb[i + 1] if i + 1 < len(mb) else 0) for i in range(len(mb))]
        times = [
            self.samples(self.call_ms + self.cutting * sum(map(self.placed_ms.get, chain)) + 0.2 * c)
            for chain, c in zip(parts, cut, strict=True)
        ]
        sums = [sum(each) for each in zip(*times, strict=True)]
        return {
            "id": name, "samples_ns": sums, "cpu_ns": sums, "calls_per_sample": 1, "parts_ns": times,
            "parts_cpu_ns": times,
        }  # fmt: skip


def measured(
    device: Device, without: frozenset[str] = frozenset(), networks: int = 0
) -> tuple[VisitPlan, InPlace | None]:
    """networks: how many are timed whole, and used"""
    carriers = carriers_of(SPACE, RESOLUTIONS, 0)
    wholes = SPACE.decode(SPACE.sample(np.random.default_rng(7), networks, resolutions=RESOLUTIONS))
    chains = [*((block,) for block in BLOCKS), *(blocks_of(SPACE, subnet) for subnet in wholes)]
    plan = make_plan(chains, ROUNDS, 0, cut_chains=[carrier.cut for carrier in carriers])
    results = {name: [device.visit(plan, name) for _ in range(ROUNDS)] for name in plan.models if name not in without}
    blocks = list(plan.models)[: len(BLOCKS)]
    warm = {name: summarise(results[name]) for name in results if name in blocks}
    return plan, blocks_in_place(Outcome(plan, results), warm, list(plan.models)[len(BLOCKS) : len(chains)])


def sums(ms: dict[Block, float]) -> np.ndarray:
    """Of 300 networks."""
    table = LatencyTable(
        {"device": "D", "runtime": "r", "provenance": "measured", "space": SPACE.name, "source": "test"},
        [TableRow(block, value) for block, value in ms.items()],
    )
    return table.latency_ms(SPACE, SPACE.sample(np.random.default_rng(0), 300, resolutions=RESOLUTIONS))


def test_plain_sums_are_those_of_networks_that_nobody_fitted() -> None:
    device = Device(noise=0.01)
    plan, found = measured(device)
    assert found is not None
    assert (found.carriers, found.parts) == (18, 18 * 14 / 3)
    true = sums(device.placed_ms)
    in_place = sums({plan.models[name][0]: ms for name, ms in found.latency_ms.items()}) / true - 1
    alone = sums(device.alone_ms) / true - 1
    assert alone.mean() < -0.03
    assert abs(in_place.mean()) < 0.005
    assert np.abs(in_place).mean() < 0.01
    # and of real networks, block by block
    net = blocks_of(SPACE, SPACE.decode(SPACE.sample(np.random.default_rng(3), 1, resolutions=RESOLUTIONS))[0])
    ids = {plan.models[name][0]: name for name in found.latency_ms}
    took = sum(device.placed_ms[block] for block in net)
    assert sum(found.latency_ms[ids[block]] for block in net) == pytest.approx(took, rel=0.02)


def test_a_few_whole_networks_tell_what_cutting_costs() -> None:
    """Parts take 5 % longer than the same blocks in a network: twelve whole networks say so, of 300 others too."""
    off = []
    for networks in (0, 12):
        device = Device(noise=0.01, call_ms=0.01, cutting=1.05)
        plan, found = measured(device, networks=networks)
        assert found is not None
        assert (found.carriers, found.parts, found.networks) == (18, 18 * 14 / 3, networks)
        assert not found.seen & set(plan.cuts)
        true = sums(device.placed_ms) + 0.01
        off.append((sums({plan.models[name][0]: ms for name, ms in found.latency_ms.items()}) / true - 1).mean())
    assert off[0] > 0.03
    assert abs(off[1]) < 0.01


def test_whole_networks_move_sums_that_are_right_by_no_more_than_noise() -> None:
    for call_ms in (0.0, 0.15):
        device = Device(noise=0.01, call_ms=call_ms)
        plan, found = measured(device, networks=12)
        assert found is not None
        off = sums({plan.models[name][0]: ms for name, ms in found.latency_ms.items()})
        off /= sums(device.placed_ms) + call_ms
        assert abs(off.mean() - 1) < 0.01
        assert np.abs(off - 1).mean() < 0.01


def test_what_blocks_convert_alone_is_not_in_their_place() -> None:
    """As OpenVINO: blocks that are given planes whole pages apart take several times as long alone."""
    device = Device(noise=0.01, converts=0.4)
    assert max(device.alone_ms[block] / device.placed_ms[block] for block in BLOCKS) > 1.5
    plan, found = measured(device, networks=12)
    assert found is not None
    assert found.factors.conversions == pytest.approx(0.4, rel=0.2)
    assert found.factors.aliased == pytest.approx(3.6, rel=0.1)
    assert found.factors.block_spread <= 0.05
    off = sums({plan.models[name][0]: ms for name, ms in found.latency_ms.items()}) / sums(device.placed_ms) - 1
    assert abs(off.mean()) < 0.005
    assert np.abs(off).mean() < 0.01


def test_a_network_is_one_call_and_its_sum_holds_it_once() -> None:
    # a call as long as three blocks: 0.15 ms, where networks take 1.4 ms and more
    device = Device(call_ms=0.15)
    plan, found = measured(device)
    assert found is not None
    assert found.factors.alone == pytest.approx(0.15, rel=0.1)
    assert found.factors.calls == pytest.approx(0.15, rel=0.1)
    true = sums(device.placed_ms) + 0.15
    off = sums({plan.models[name][0]: ms for name, ms in found.latency_ms.items()}) / true - 1
    assert abs(off.mean()) < 0.005
    by_round = {plan.models[name][0]: visits[0] for name, visits in found.visits_ms.items()}
    assert abs((sums(by_round) / true - 1).mean()) < 0.005


def test_every_round_tells_for_itself() -> None:
    plan, found = measured(Device(noise=0.02))
    assert found is not None
    assert {len(visits) for visits in found.visits_ms.values()} == {ROUNDS}
    spread = [np.ptp(visits) / found.latency_ms[name] for name, visits in found.visits_ms.items()]
    assert 0 < np.median(spread) < 0.1
    assert found.seen == set(plan.models) - set(plan.cuts)


def test_a_network_that_failed_costs_its_blocks_their_place_and_no_more() -> None:
    device = Device()
    plan, _ = measured(device)
    # all networks of 96 px but one
    lost = frozenset(list(plan.cuts)[10:])
    _, found = measured(device, lost)
    assert found is not None
    assert found.carriers == 10
    assert set(found.latency_ms) == set(plan.models) - set(plan.cuts)
    unseen = set(found.latency_ms) - found.seen
    assert len(unseen) > 50
    for name in unseen:
        assert found.latency_ms[name] == pytest.approx(device.placed_ms[plan.models[name][0]], rel=0.15)


def test_a_block_that_failed_alone_takes_the_parts_it_stands_in_with_it_and_no_more() -> None:
    device = Device()
    plan, whole = measured(device)
    elastic = next(name for name, chain in plan.models.items() if chain[0].mid_channels and chain[0].stride == 2)
    _, found = measured(device, frozenset({elastic}))
    assert whole is not None
    assert found is not None
    assert elastic not in found.latency_ms
    assert (found.carriers, found.parts) == (18, whole.parts - 1)
    # the other blocks of that part stood nowhere else
    lost = {name for name in plan.models if name not in plan.cuts and name not in found.seen} - {elastic}
    (part,) = (part for name in plan.cuts for part in plan.parts(name) if plan.models[elastic][0] in part)
    assert {plan.models[name][0] for name in lost} <= {*part}


def test_without_any_network_there_is_no_place() -> None:
    plan, _ = measured(Device())
    assert measured(Device(), frozenset(plan.cuts))[1] is None
