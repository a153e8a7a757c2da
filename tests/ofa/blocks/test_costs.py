"""Analytic costs against the published networks and the reference's own counts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ofa.blocks import Block, all_blocks, block_index, blocks_of
from ofa.blocks.costs import (
    block_macs,
    block_params,
    block_peak_elements,
    count_macs,
    count_params,
    peak_activation_bytes,
)
from ofa.space import get_space
from ofa.space.mit_format import subnet_from_mit, subnet_from_net_config

GOLDEN = (
    ("mbv3_w0.5", "mbv3-w0.5", None),
    ("proxyless_w0.5", "proxyless-w0.5", None),
    ("resnet_w0.1-0.2", "resnet50d", (0.1, 0.15, 0.2)),
)


@pytest.mark.parametrize(("file", "name", "widths"), GOLDEN)
def test_the_references_macs_and_parameters_exactly(reference: Path, file: str, name: str, widths: tuple) -> None:
    space = get_space(name, 10, width_mults=widths)
    for case in json.loads((reference / "golden" / f"{file}_cases.json").read_text())["cases"]:
        for resolution in (64, 224):
            subnet = subnet_from_mit(space, case["config"], resolution)
            # the reference adds up in float32: above 2^24 its sums are rounded
            assert np.float32(count_macs(space, subnet)) == np.float32(case[f"macs_{resolution}"])
            assert count_params(space, subnet) == case["n_params"]


def test_all_published_networks(reference: Path) -> None:
    seen = 0
    for row in csv.DictReader((reference / "networks" / "published.csv").read_text().splitlines()):
        config = json.loads((reference / "networks" / "specialized" / f"{row['name']}.net.json").read_text())
        space, subnet = subnet_from_net_config(config, int(row["image_size"]))
        assert abs(count_params(space, subnet) / 1e6 - float(row["params_millions"])) < 0.11, row["name"]
        if not row["name"].startswith("note10_lat-8ms"):  # the published README's own error
            assert abs(count_macs(space, subnet) / 1e6 / float(row["macs_millions"]) - 1) < 0.02, row["name"]
        seen += 1
    assert seen == 26


def test_batches_agree_with_single_subnetworks() -> None:
    for name in ("mbv3-w1.0", "proxyless-w1.3", "resnet50d"):
        space = get_space(name)
        genes = space.sample(np.random.default_rng(0), 20)
        subnets = space.decode(genes)
        for count in (count_macs, count_params, peak_activation_bytes):
            assert count(space, genes).tolist() == [count(space, s) for s in subnets]
            assert count(space, subnets).tolist() == count(space, genes).tolist()


def test_totals_are_sums_over_the_blocks_of_the_network() -> None:
    for name in ("mbv3-w1.0", "proxyless-w1.3", "resnet50d"):
        space = get_space(name)
        for subnet in space.decode(space.sample(np.random.default_rng(1), 10)):
            blocks = blocks_of(space, subnet)
            assert count_macs(space, subnet) == sum(map(block_macs, blocks))
            assert count_params(space, subnet) == sum(map(block_params, blocks))
            assert peak_activation_bytes(space, subnet) == 4 * max(map(block_peak_elements, blocks))


def test_hand_counted_blocks() -> None:
    plain = Block("conv", 8, 3, 0, 16, 3, 2, "relu", False, False)
    assert (block_macs(plain), block_params(plain)) == (16 * 27 * 16, 27 * 16 + 32)
    assert block_peak_elements(plain) == 64 * 3 + 16 * 16
    mbconv = Block("mbconv", 4, 8, 24, 8, 3, 1, "relu", True, True)
    # expand, depthwise, squeeze and excite with 8 hidden units, project
    assert block_macs(mbconv) == 16 * 8 * 24 + 16 * 24 * 9 + 2 * 24 * 8 + 16 * 24 * 8
    assert block_params(mbconv) == (8 * 24 + 48) + (9 * 24 + 48) + (2 * 24 * 8 + 8 + 24) + (24 * 8 + 16)
    # at the depthwise convolution: the input is kept for the shortcut, expanded in, expanded out
    assert block_peak_elements(mbconv) == 16 * 8 + 2 * 16 * 24
    # the gate is a quarter of the input wide, not of the inside
    gated = Block("mbconv_se_in", 4, 8, 24, 8, 3, 1, "swish", True, True)
    assert block_macs(mbconv) - block_macs(gated) == 2 * 24 * (8 - 2)
    assert block_params(mbconv) - block_params(gated) == (2 * 24 + 1) * (8 - 2)
    # 5 x 5 at the start takes the stride, as nothing inside can
    uib = Block("uib5", 4, 8, 24, 16, 1, 2, "relu", False, False)
    assert (block_macs(uib), block_params(uib)) == (4 * (8 * 25 + 8 * 24 + 24 * 16), 8 * 25 + 16 + 192 + 48 + 384 + 32)
    # halves of the channels each by itself, and a shuffle, which costs nothing but its map twice
    grouped = Block("uib_g2", 4, 8, 24, 16, 3, 2, "relu", False, False)
    assert block_macs(grouped) == 16 * 2 * 4 * 12 + 4 * 24 * 9 + 4 * 2 * 12 * 8
    assert block_params(grouped) == (2 * 4 * 12 + 48) + (24 * 9 + 48) + (2 * 12 * 8 + 32)
    assert block_peak_elements(grouped) == 2 * 16 * 24
    basic = Block("basic", 4, 8, 0, 16, 3, 2, "relu", False, False)
    assert block_macs(basic) == 4 * (8 * 9 * 16 + 16 * 9 * 16 + 8 * 16)
    biased = Block("feature_mix_bias", 1, 8, 0, 16, 1, 1, "h_swish", False, False)
    assert (block_macs(biased), block_params(biased)) == (8 * 16, 8 * 16 + 16)
    pool = Block("global_pool", 7, 960, 0, 960, 1, 1, "none", False, False)
    assert (block_macs(pool), block_params(pool)) == (0, 0)


@pytest.mark.parametrize(
    ("name", "macs", "params", "peaks"),
    [
        ("mbv3-w1.0", 2112843296, 26925960, 43488227),
        ("proxyless-w1.3", 4108782184, 39972920, 61917235),
        ("resnet50d", 47933712544, 411124072, 208364134),
    ],
)
def test_costs_of_all_blocks_are_those_they_had_before_operators_were_described(
    name: str, macs: int, params: int, peaks: int
) -> None:
    blocks = all_blocks(get_space(name), (131, 224))
    # the peak of a convolution with a shortcut was too low: it forgot the input
    blocks = tuple(block for block in blocks if not (block.op == "conv" and block.skip))
    assert sum(map(block_macs, blocks)) == macs
    assert sum(map(block_params, blocks)) == params
    assert sum(map(block_peak_elements, blocks)) == peaks


def test_the_input_of_a_convolution_is_kept_for_its_shortcut() -> None:
    assert block_peak_elements(Block("conv", 4, 8, 0, 8, 3, 1, "relu", False, True)) == 3 * 16 * 8


def test_a_million_subnetworks_are_one_array() -> None:
    space = get_space("mbv3-w1.0")
    genes = space.sample(np.random.default_rng(0), 1_000_000, resolutions=[224])
    macs = count_macs(space, genes)
    assert macs.shape == (1_000_000,)
    smallest, largest = (space.subnet([k] * 20, [e] * 20, [d] * 5, 224) for k, e, d in ((3, 3, 2), (7, 6, 4)))
    assert count_macs(space, smallest) <= macs.min() < macs.max() <= count_macs(space, largest)
    assert len(block_index(space, [224]).blocks) == 96
