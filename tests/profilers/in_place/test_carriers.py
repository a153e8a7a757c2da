"""The networks in which blocks are measured: every block of a space occurs, in turn, and they are cut into parts."""

from collections import Counter

import pytest

from ofa.blocks import all_blocks, blocks_of
from ofa.space import get_space
from profilers.in_place.carriers import CUTS, Cut, carriers_of


@pytest.mark.parametrize(
    ("name", "resolutions", "count"),
    [
        ("mbv3-w1.0", (128, 160, 224), 27),
        ("mbv3-w0.35", (48, 60), 18),
        ("proxyless-w1.3", (160,), 9),
        # width genes are shared by slots, so that 27 options a slot need more than 27 networks
        ("resnet50d", (160,), None),
    ],
)
def test_every_block_of_a_space_stands_in_a_carrier(name: str, resolutions: tuple[int, ...], count: int | None) -> None:
    space = get_space(name)
    carriers = carriers_of(space, resolutions, seed=0)
    assert {block for carrier in carriers for block in carrier.cut.chain} == set(all_blocks(space, resolutions))
    assert len(carriers) == count if count else len(carriers) < 40
    for carrier in carriers:
        assert carrier.cut.chain == blocks_of(space, carrier.subnet)
        deepest = [max(space.choices[column]) for column in range(*space.columns("depths").indices(len(space.choices)))]
        assert list(carrier.subnet.depths) == deepest


def test_the_options_of_a_slot_come_in_turn() -> None:
    space = get_space("mbv3-w1.0")
    carriers = carriers_of(space, [160], seed=3)
    for slot in range(2, 22):  # the elastic ones: nine blocks each
        stood = Counter(carrier.cut.chain[slot] for carrier in carriers)
        assert set(stood.values()) == {1}
        assert len(stood) == 9


def test_a_seed_repeats_the_carriers_and_another_does_not() -> None:
    space = get_space("mbv3-w0.35")
    first, again, other = (carriers_of(space, [48], seed) for seed in (1, 1, 2))
    assert first == again != other


def test_where_a_network_is_cut() -> None:
    assert Cut(5, 5).starts(26) == (0, 5, 10, 15, 20)  # a last part of one block joins the one before
    assert Cut(5, 5).starts(27) == (0, 5, 10, 15, 20, 25)
    assert Cut(5, 3).starts(26) == (0, 3, 8, 13, 18, 23)
    assert Cut(9, 9).starts(4) == (0,)
    carriers = carriers_of(get_space("mbv3-w0.35"), [48], 0)
    assert [carrier.cut.cuts for carrier in carriers[:3]] == [cut.starts(26) for cut in CUTS]
