"""Networks as JSON lists of blocks, by name and by net.config: read strictly, all faults at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InputError
from ofa.published import NAMED
from ofa.published.block_list import MOST_BLOCKS, block_list, read_block_list
from ofa.published.block_network import BlockNetwork
from ofa.published.coded import code_of_blocks
from ofa.published.opening import MOST_BYTES, SPEC, open_network

SMALL: dict[str, Any] = {
    "name": "mine",
    "resolution": 64,
    "top1": 61.5,
    "blocks": [
        {"op": "conv", "out_channels": 16, "kernel_size": 3, "stride": 2, "activation": "relu6"},
        {"op": "mbconv", "expand": 1.5, "out_channels": 16, "kernel_size": 5, "activation": "relu6", "skip": True},
        {"op": "max_pool"},
        {"op": "global_pool"},
        {"op": "linear", "out_channels": 10},
    ],
}


def changed(**of: Any) -> dict[str, Any]:
    """SMALL with other fields of a block: b1_stride=3."""
    content = json.loads(json.dumps(SMALL))
    for key, value in of.items():
        position, _, field = key[1:].partition("_")
        content["blocks"][int(position)][field] = value
    return content


def written(folder: Path, content: Any) -> Path:
    path = folder / "net.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def fault(content: Any) -> str:
    with pytest.raises(InputError) as info:
        read_block_list(content, Path("net.json"))
    return str(info.value)


def test_what_a_block_is_given_follows_from_the_one_before(tmp_path: Path) -> None:
    network = open_network(str(written(tmp_path, SMALL)))
    assert [str(block) for block in network.blocks] == [
        "conv 64x64x3>16 k3 s2 relu6",
        "mbconv 32x32x16>24>16 k5 s1 relu6 skip",
        "max_pool 32x32x16>16 k3 s2 none",
        "global_pool 16x16x16>16 k1 s1 none",
        "linear 1x1x16>10 k1 s1 none",
    ]
    assert (network.name, network.top1, network.num_classes, network.resolution) == ("mine", 61.5, 10, 64)
    assert [block.in_size for block in network.at(99).blocks] == [99, 50, 50, 25, 1]
    assert open_network(str(tmp_path / "net.json"), 99, 7).blocks == network.at(99).of_classes(7).blocks


def test_every_named_network_is_the_same_from_its_list() -> None:
    for name in NAMED:
        network = open_network(name)
        again = read_block_list(json.loads(json.dumps(block_list(network))), Path("a.json"))
        assert again == network
        # a bare list has no name
        rows = block_list(network)["blocks"]
        assert read_block_list(rows, Path("b.json")) == BlockNetwork("b", network.blocks, "b.json")


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ({"b1_stride": 3}, "blocks[1].stride is 3, expected one of 1, 2"),
        ({"b1_stride": 1.0}, "blocks[1].stride is 1.0, expected one of 1, 2"),
        ({"b1_kernel_size": 3.0}, "blocks[1].kernel_size is 3.0, expected one of 1, 3, 5, 7"),
        ({"b1_op": "mbcnv"}, "net.json: blocks[1].op is 'mbcnv': did you mean mbconv?"),
        ({"b1_op": ["x"]}, 'blocks[1].op is ["x"]: expected one of conv, '),
        ({"b1_kernel": 3}, "blocks[1].kernel is unknown: did you mean kernel_size?"),
        ({"b1_in_channels": 24}, "blocks[1].in_channels is 24, but the output of the block before is 16"),
        ({"b0_in_size": 65}, "blocks[0].in_size is 65, but what the image has is 64"),
        ({"b0_in_channels": 1}, "blocks[0].in_channels is 1, but what the image has is 3"),
        ({"b1_mid_channels": 8}, "blocks[1].expand is there beside mid_channels"),
        ({"b0_mid_channels": 8}, "blocks[0].mid_channels is 8, but conv has no inside"),
        ({"b1_expand": -6}, "blocks[1].expand is -6, expected a number of times the channels of the input from 0.05"),
        ({"b4_out_channels": -1}, "blocks[4].out_channels is -1, expected a whole number of channels from 1"),
        ({"b4_out_channels": 10.0}, "blocks[4].out_channels is 10.0, expected a whole number"),
        ({"b4_out_channels": None}, "blocks[4].out_channels is missing"),
        ({"b1_skip": 1}, "blocks[1].skip is 1, expected true or false"),
        ({"b1_activation": "gelu"}, "blocks[1].activation is 'gelu', expected one of none, relu"),
        ({"b1_out_channels": 24}, "blocks[1]: skip is 1, but a block that changes size or channels cannot add"),
        ({"b2_kernel_size": 5}, "blocks[2]: block max_pool 32x32x16>16 k5 s2 none: kernel_size is 5, but max_pool"),
        ({"b3_op": "conv", "b3_out_channels": 8}, "blocks[4]: block linear 16x16x8>10 k1 s1 none: in_size is 16"),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_is_allowed(of: dict[str, Any], words: str) -> None:
    text = fault(changed(**of))
    assert text.startswith("net.json: ")
    assert words in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "blocks has 0, expected a list of 1 to 1,000"),
        ({}, "blocks is missing"),
        ("text", "blocks is 'text', expected a list"),
        ({**SMALL, "blocks": [{"op": "conv"}] * (MOST_BLOCKS + 1)}, "net.json: blocks has 1,001, expected"),
        ([{"op": "conv", "in_size": 64}] * 100_000, "net.json: blocks has 100,000, expected"),
        ({**SMALL, "resolution": 31}, "resolution is 31, expected a whole number of pixels from 32 to 1024"),
        ({**SMALL, "resolution": None}, "resolution is missing, and so is in_size of the first block"),
        ({**SMALL, "name": "a\nb"}, "name is 'a\\nb', expected a text"),
        ({**SMALL, "top1": 161}, "top1 is 161, expected a number of per cent"),
        ({**SMALL, "format": "ofa-blocks/2"}, "format is 'ofa-blocks/2', expected 'ofa-blocks/1'"),
        ({**SMALL, "block": 1}, "block is unknown: did you mean blocks?"),
        ({**SMALL, "blocks": [None]}, "blocks[0] is missing, expected an object with op"),
    ],
)
def test_a_file_that_is_no_network_is_told_so(content: Any, words: str) -> None:
    assert words in fault(content)


def test_all_faults_are_told_at_once_and_none_that_another_causes() -> None:
    text = fault(changed(b0_stride=4, b1_activation="gelu", b1_kernel_size=2, b4_out_channels="ten"))
    for words in ("4 problems", "blocks[0].stride", "blocks[1].kernel_size", "blocks[1].activation", "blocks[4].out"):
        assert words in text
    # more than a message holds: the first, and how many
    many = fault({"resolution": 64, "blocks": [{"op": "no"}] * 400})
    assert "400 problems" in many
    assert "more" in many[-20:]
    assert len(many) <= 1000


def test_a_files_own_name_may_be_anything(tmp_path: Path) -> None:
    odd = tmp_path / ("\x1b[31m" + "x" * 220 + ".json")
    odd.write_text(json.dumps({"resolution": 64, "blocks": SMALL["blocks"]}))
    network = open_network(str(odd))
    assert network.name.startswith("\\x1b[31mxxx")
    assert network.name.isprintable() and network.source.isprintable()
    assert max(map(len, (network.name, network.source))) <= 200


def test_names_and_files_are_found_or_guessed(tmp_path: Path) -> None:
    assert open_network("mobilenetv2_100").blocks == open_network("mobilenet_v2").blocks
    assert open_network("mobilenet_v2", 160, 10).blocks == NAMED["mobilenet_v2"].blocks(160, 10)
    assert open_network("mobilenet_v2@160").blocks == NAMED["mobilenet_v2"].blocks(160)
    assert open_network("fbnet:" + "8 " * 22).num_classes == 100
    code = code_of_blocks(NAMED["mobilenet_v2"].blocks(160))
    assert open_network(code, 96).blocks == NAMED["mobilenet_v2"].blocks(96)
    own = tmp_path / "own"  # of a specialised network
    own.mkdir()
    rows = block_list(open_network("mobilenet_v2", 160))["blocks"]
    (own / "network.json").write_text(json.dumps({"format": SPEC, "layers": rows}))
    assert open_network(str(own)).blocks == NAMED["mobilenet_v2"].blocks(160)
    assert open_network(str(own), 96).blocks == NAMED["mobilenet_v2"].blocks(96)
    for text, words in {
        "mobilnet-v2": "; did you mean mobilenet_v2?",
        "out/net.json": "no such file, expected a JSON list of blocks",
        str(tmp_path): "a folder, expected a JSON list",
        "mobilenet_v2@16": "mobilenet_v2@: resolution is '16', expected a whole number of pixels from 32 to 1024",
        "fbnet:1 2": "FBNet: 2 choices, expected 22",
        "a\0b": "there is no published network 'a",
        "x" * 5000: "there is no published network 'xxx",
    }.items():
        with pytest.raises(InputError) as info:
            open_network(text)
        assert words in str(info.value)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(InputError, match="4 MiB, more than a list of blocks ever has"):
        open_network(str(large))
    search = written(tmp_path, {"results": []})
    with pytest.raises(InputError, match="names sub-networks of a space"):
        open_network(str(search))


def test_a_net_config_of_the_original_is_read(reference: Path, tmp_path: Path) -> None:
    source = reference / "networks" / "specialized" / "note10_lat-8ms_top1-71.4_finetune-25.net.json"
    network = open_network(str(source), 160)
    assert network.name == "note10_lat-8ms_top1-71.4_finetune-25"
    assert (network.resolution, network.num_classes) == (160, 1000)
    with pytest.raises(InputError, match=r"does not state its resolution, and there is no .*give it with --resolution"):
        open_network(str(source))
    config = json.loads(source.read_text())
    config["blocks"][3]["mobile_inverted_conv"]["in_channels"] += 8
    with pytest.raises(InputError, match=r"blocks\[4\].in_channels is \d+, but the output of the block before is"):
        open_network(str(written(tmp_path, config)), 160)
