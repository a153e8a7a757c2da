"""Whole networks measured in visits: what is told of each, and whose device it was."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, blocks_of
from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.control_networks import ControlNetwork, control_networks, header_line
from profilers.measuring.events import Hello
from profilers.whole_networks.choosing import CONTROLS, Chosen, controls_of
from profilers.whole_networks.measured import MeasuredNetwork, measure_networks, of_table
from tests.profilers.whole_networks.planted import RUNTIME, SOC, PlantedDevice, new_journal

SPACE, RESOLUTIONS = get_space("mbv3-w0.35"), (64, 96)
HEADER = {"device": "D", "runtime": RUNTIME, "provenance": "measured", "space": SPACE.name, "source": "test"}


def alone_ms(block: Block) -> float:
    return 0.01 + block_macs(block) / 1e7


TABLE = LatencyTable({**HEADER, "soc": SOC}, [TableRow(b, alone_ms(b)) for b in all_blocks(SPACE, RESOLUTIONS)])
GENES = SPACE.sample(np.random.default_rng(0), 30, resolutions=RESOLUTIONS)


def slower(chain: Sequence[Block]) -> float:
    """Whole networks take 20 % more than their blocks, which take what the table says."""
    return sum(map(alone_ms, chain)) * (1.0 if len(chain) == 1 else 1.2)


def test_networks_take_what_was_planted_in_the_order_they_were_given(tmp_path: Path) -> None:
    device, chosen = PlantedDevice(slower), Chosen(SPACE, GENES, controls_of(TABLE))
    measure = partial(device.measure, journal=new_journal(tmp_path))
    found = measure_networks(chosen, device.target(), measure, visits=6, seed=1)
    taken = [network.latency_ms for network in found.networks if network is not None]
    assert taken == pytest.approx(1.2 * TABLE.latency_ms(SPACE, GENES), rel=1e-5)
    assert {len(network.visits_ms) for network in found.networks if network is not None} == {6}
    assert (found.machine_pct, found.same_machine, found.failed) == (0.0, True, {})
    # every chain six times, the reference before, after and between every 20 of these
    assert device.visits == 6 * (30 + CONTROLS) + 1 + -(-6 * (30 + CONTROLS) // 20)


def test_blocks_alone_are_compared_with_what_blocks_take_alone() -> None:
    header = {**TABLE.header, "timing": "in place"}
    rows = [replace(row, warm_ms=0.9 * row.latency_ms if i % 2 else None) for i, row in enumerate(TABLE.rows)]
    controls = controls_of(LatencyTable(header, rows))
    assert len(controls) == CONTROLS
    warm = {(row.block,): row.warm_ms for row in rows}
    assert [control.latency_ms for control in controls] == [warm[control.chain] for control in controls]
    # such a header over figures of blocks in place alone, or over blocks alone
    with pytest.raises(InputError, match="header timing is 'in place', but no row has warm_ms"):
        controls_of(LatencyTable(header, TABLE.rows))


def test_whole_networks_of_the_table_tell_what_slows_networks_alone(tmp_path: Path) -> None:
    """Something beside that uses up the memory's bandwidth: blocks take 3 % longer, networks 24."""
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(5), 4, resolutions=RESOLUTIONS))
    then = [ControlNetwork(subnet, slower(blocks_of(SPACE, subnet))) for subnet in subnets]
    told = LatencyTable({**TABLE.header, "control_networks": header_line(then, SPACE)}, TABLE.rows, Path("t.csv"))
    controls = controls_of(told)
    assert [control.is_network for control in controls] == [False] * (CONTROLS - 4) + [True] * 4
    assert [control.chain for control in controls[-4:]] == [blocks_of(SPACE, subnet) for subnet in subnets]
    assert sum(control.is_network for control in controls_of(told, 6)) == 2
    device = PlantedDevice(lambda chain: (1.03 if len(chain) == 1 else 1.24) * slower(chain))
    measure = partial(device.measure, journal=new_journal(tmp_path))
    found = measure_networks(Chosen(SPACE, GENES, controls), device.target(), measure, visits=2, seed=0)
    assert (found.blocks_pct, found.networks_pct, found.machine_pct) == (3.0, pytest.approx(24, abs=0.01), 24.0)
    assert not found.same_machine
    assert found.machine_words() == "single blocks: +3.0 %, whole networks: +24.0 % against the table"
    # without the networks nobody would know
    (tmp_path / "b").mkdir()
    measure = partial(device.measure, journal=new_journal(tmp_path / "b"))
    blind = measure_networks(Chosen(SPACE, GENES, controls_of(TABLE)), device.target(), measure, visits=2, seed=0)
    assert (blind.networks_pct, blind.same_machine) == (None, True)


def test_of_many_whole_networks_the_controls_are_spread_from_the_first_to_the_last() -> None:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(6), 12, resolutions=RESOLUTIONS))
    then = [ControlNetwork(subnet, 1.0 + i) for i, subnet in enumerate(subnets)]
    told = LatencyTable({**TABLE.header, "control_networks": header_line(then, SPACE)}, TABLE.rows, Path("t.csv"))
    chosen = [control for control in controls_of(told) if control.is_network]
    assert [(control.chain, control.latency_ms) for control in chosen] == [
        (blocks_of(SPACE, subnets[i]), 1.0 + i) for i in (0, 4, 7, 11)
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("64:00", "'64:00' is no network, such as 160:0120=5.25: take the line out"),
        ("64:0=1", "'64:0=1' is no network of mbv3-w0.35"),
        (f"64:{'z' * (SPACE.num_genes - 1)}=1", "is no network of mbv3-w0.35"),
        (f"20:{'0' * (SPACE.num_genes - 1)}=1", "header control_networks: resolution is '20'"),
        (f"64:{'0' * (SPACE.num_genes - 1)}=1-1", "is '1-1', expected"),
    ],
)
def test_damaged_networks_of_a_header_are_refused(text: str, words: str) -> None:
    table = LatencyTable({**TABLE.header, "control_networks": text}, TABLE.rows, Path("t.csv"))
    with pytest.raises(InputError, match=r"t\.csv: header control_networks") as caught:
        controls_of(table)
    assert words in str(caught.value)


def test_networks_that_a_header_tells_are_read_back() -> None:
    for name in ("mbv3-w0.35", "resnet50d", "proxyless-w1.3"):
        space = get_space(name)
        subnets = space.decode(space.sample(np.random.default_rng(1), 50, resolutions=(96, 224)))
        told = [ControlNetwork(subnet, 0.5 + i) for i, subnet in enumerate(subnets)]
        line = header_line(told, space)
        assert list(control_networks({"control_networks": line}, "t", space)) == told


def test_visits_by_cpu_time_are_counted(tmp_path: Path) -> None:
    device = PlantedDevice(slower, busy=400)
    measure = partial(device.measure, journal=new_journal(tmp_path))
    found = measure_networks(Chosen(SPACE, GENES, controls_of(TABLE)), device.target(), measure, visits=2, seed=0)
    assert sum(network.by_cpu_time for network in found.networks if network is not None) > 50
    quiet = PlantedDevice(slower)
    (tmp_path / "b").mkdir()
    measure = partial(quiet.measure, journal=new_journal(tmp_path / "b"))
    found = measure_networks(Chosen(SPACE, GENES, controls_of(TABLE)), quiet.target(), measure, visits=2, seed=0)
    assert sum(network.by_cpu_time for network in found.networks if network is not None) == 0


def test_odd_and_even_visits_by_hand() -> None:
    network = MeasuredNetwork((1.0, 10.0, 3.0, 30.0, 2.0, 20.0))
    assert (network.odd_ms, network.even_ms, network.latency_ms) == (2.0, 20.0, 6.5)
    assert MeasuredNetwork((1.0,)).even_ms is None


def test_a_network_that_fails_is_none_and_a_changed_machine_is_told(tmp_path: Path) -> None:
    longest = max(map(len, Chosen(SPACE, GENES, ()).chains()))
    device = PlantedDevice(lambda chain: 1.1 * slower(chain), fails=lambda chain: len(chain) == longest)
    chosen = Chosen(SPACE, GENES, controls_of(TABLE))
    measure = partial(device.measure, journal=new_journal(tmp_path))
    found = measure_networks(chosen, device.target(), measure, visits=2, seed=0)
    lost = [i for i, chain in enumerate(chosen.chains()[:30]) if len(chain) == longest]
    assert [i for i, network in enumerate(found.networks) if network is None] == lost
    assert sorted(found.failed) == [f"b{i:05d}" for i in lost]
    assert (found.machine_pct, found.same_machine) == (10.0, False)


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (Hello("a", "onnxruntime 2", {"cpu_model": SOC}), "was made with onnxruntime 1, installed is onnxruntime 2"),
        (Hello("a", RUNTIME, {"cpu_model": "other"}), "was measured on planted, this is other: measure a table"),
    ],
)
def test_another_device_is_refused_before_a_visit(tmp_path: Path, hello: Hello, words: str) -> None:
    began = []
    target = replace(PlantedDevice(slower).target(), start=lambda _folder, _manifest: iter([hello, began]))
    with pytest.raises(InputError, match=words):
        for event in of_table(target, TABLE).start(tmp_path, {}):
            assert event is not began
    # a table or an agent that does not tell its processor is not refused for that
    for table in (TABLE, LatencyTable(HEADER, TABLE.rows)):
        silent = replace(target, start=lambda _folder, _manifest: iter([Hello("a", RUNTIME, {})]))
        assert len(list(of_table(silent, table).start(tmp_path, {}))) == 1
