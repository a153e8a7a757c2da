"""FBNet's space as HELP's networks number it: the blocks are those whose sums HELP published."""

import gzip
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.blocks import Block
from ofa.errors import InputError
from ofa.graph import network_graph
from ofa.graph.torch import build_torch
from ofa.networks.elastic import run_elastic
from ofa.networks.layers import Layer
from ofa.published.fbnet import CHOICES, POSITIONS, fbnet_blocks, fbnet_choices

FIRST = "5 3 5 5 0 4 7 5 5 2 0 2 4 5 1 3 7 2 6 0 4 0"


def test_a_network_by_numbers_and_by_names() -> None:
    names = " ".join(CHOICES[int(number)] for number in FIRST.split())
    blocks = fbnet_blocks(FIRST)
    assert blocks == fbnet_blocks(names)
    assert blocks[0] == Block("conv", 32, 3, 0, 16, 3, 1, "relu", False, False)
    assert blocks[1] == Block("uib_g2", 32, 16, 16, 16, 5, 1, "relu", False, True)
    assert blocks[6] == Block("uib", 32, 24, 24, 32, 5, 2, "relu", False, False)
    assert [block.out_channels for block in blocks[-3:]] == [1504, 1504, 100]
    # a skip is nothing where nothing changes, and a 1x1 convolution elsewhere
    skips = fbnet_blocks("skip " * POSITIONS)
    assert [str(block) for block in skips[:3]] == [
        "conv 32x32x3>16 k3 s1 relu",
        "conv 32x32x16>24 k1 s1 relu",
        "conv 32x32x24>32 k1 s2 relu",
    ]
    with torch.no_grad():
        assert build_torch(network_graph(blocks))(torch.zeros(1, 3, 32, 32)).shape == (1, 100)


def test_sizes_and_channels_are_those_that_the_list_states(reference: Path) -> None:
    text = gzip.decompress((reference / "networks" / "help_fbnet_latency.csv.gz").read_bytes()).decode()
    stated = re.search(r"input (\d+)x\1 .*stages ([\d ]+) of ([\d ]+), strides ([\d ]+), stem (\d+), head (\d+)", text)
    assert stated is not None
    side, counts, channels, strides, stem, head = ([int(n) for n in part.split()] for part in stated.groups())
    expected, size = [(side[0], stem[0])], side[0]
    for count, out, stride in zip(counts, channels, strides, strict=True):
        for i in range(count):
            expected.append((size, out))
            size //= stride if i == 0 else 1
    blocks = fbnet_blocks("k3_e1 " * POSITIONS)
    assert [(block.in_size, block.out_channels) for block in blocks[:-3]] == expected
    assert (blocks[-3].in_size, blocks[-3].out_channels) == (size, head[0])


@pytest.mark.parametrize("device", ["pixel3_ms", "raspi4_ms", "fpga_ms", "eyeriss_ms"])
def test_what_was_published_as_sums_of_look_ups_is_a_sum_of_these_blocks(reference: Path, device: str) -> None:
    lines = gzip.decompress((reference / "networks" / "help_fbnet_latency.csv.gz").read_bytes()).decode().splitlines()
    columns, *rows = [line.split(",") for line in lines if not line.startswith("#")]
    rows = rows[:600]
    networks = [fbnet_blocks(row[0]) for row in rows]
    numbers = {block: i for i, block in enumerate(dict.fromkeys(block for blocks in networks for block in blocks))}
    counts = np.zeros((len(rows), len(numbers)))
    for row, blocks in zip(counts, networks, strict=True):
        np.add.at(row, [numbers[block] for block in blocks], 1)
    latency_ms = np.array([float(row[columns.index(device)]) for row in rows])
    fitted, others = slice(0, 300), slice(300, None)
    weights = np.linalg.lstsq(counts[fitted], latency_ms[fitted], rcond=None)[0]
    assert np.abs(counts[others] @ weights / latency_ms[others] - 1).max() < 2e-4  # five digits were published


def test_what_no_network_is_is_told_at_once() -> None:
    with pytest.raises(InputError, match=r"FBNet: 21 choices, expected 22; choices are 0 k3_e1, 1 k3_e1_g2, "):
        fbnet_choices(FIRST.rpartition(" ")[0])
    wrong = "9 -1 k7_e1 1.5 " + "0 " * 18
    with pytest.raises(
        InputError, match=r"position 0 is '9', position 1 is '-1', position 2 is 'k7_e1', position 3 is"
    ):
        fbnet_choices(wrong)
    with pytest.raises(InputError, match=r"position 7 is '9', and 14 more; choices"):
        fbnet_choices("9 " * POSITIONS)


def test_grouped_blocks_are_refused_where_they_cannot_be() -> None:
    block = Block("uib_g2", 4, 8, 24, 16, 3, 1, "relu", False, False)
    with pytest.raises(InputError, match="mid_channels is 9, expected a multiple of 2 for uib_g2"):
        replace(block, mid_channels=9)
    layer = Layer(block, bn_eps=1e-5)
    with pytest.raises(InputError, match="grouped convolutions: its first channels are not a smaller block"):
        run_elastic(layer, torch.zeros(1, 8, 4, 4), replace(block, mid_channels=12), lambda bn, y: bn(y))
