"""A network by what the user calls it: a name, a file, or the choices of a network of FBNet's space."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ofa.blocks import BLOCK_FIELDS
from ofa.errors import InputError
from ofa.published.block_list import read_block_list
from ofa.published.block_network import BlockNetwork
from ofa.published.coded import blocks_of_code
from ofa.published.fbnet import fbnet_choices, fbnet_network
from ofa.published.more import ALIASES, NAMED, get_published
from ofa.published.net_config import read_net_config
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import CHANNELS, PIXELS, cut, short
from ofa.reading.structured import content_of, parse_json, read_json

FBNET, CODES = "fbnet:", ("chain:", "mnasnet:")
SPEC = "ofa-network/1"  # what a specialised network's file says of its architecture
MOST_BYTES = 4 * 2**20  # a thousand blocks, every field written out, have 0.3


def open_network(
    text: str, resolution: int | None = None, num_classes: int | None = None, *, folder: Path | None = None
) -> BlockNetwork:
    """The network that a text names.

    text: a name such as mobilenet_v2, or mobilenet_v2@160; a file: a list of blocks, the original's net.config, or a
        network.json of a specialised network; or a code as of `ofa.published.coded`, such as "fbnet:" and 22 choices
    resolution, num_classes: instead of the network's own; folder: from which files are found
    InputError names what cannot be read, all at once, or the names that there are.
    """
    name, at, pixels = text.rpartition("@")
    if at and is_named(name):
        text, stated = name, PIXELS.integer(f"{name}@: resolution", pixels)
        resolution = stated if resolution is None else resolution
    network = _opened(text, resolution, folder)
    if num_classes is None or num_classes == network.num_classes:
        return network
    CHANNELS.check("number of classes", num_classes)
    return network.of_classes(num_classes)


def _opened(text: str, resolution: int | None, folder: Path | None) -> BlockNetwork:
    if text.startswith(CODES):
        blocks = blocks_of_code(text)
        coded = BlockNetwork(cut(text), blocks, "its code")
        return coded if resolution is None else coded.at(resolution)
    if text.startswith(FBNET):
        published = fbnet_network(fbnet_choices(text.removeprefix(FBNET)))
    elif is_named(text):
        published = get_published(text)
    else:
        return _of_file(_file(text, folder), resolution)
    return BlockNetwork(published.name, published.blocks(resolution), published.source)


def is_named(text: str) -> bool:
    """Whether it is the name of a network that is known here."""
    return text in NAMED or text in ALIASES


def _file(text: str, folder: Path | None) -> Path:
    """The file of that name; InputError says what the text may have been meant to be."""
    path = Path(text) if folder is None else folder / text
    refuse_endless(path)
    is_folder = _holds(path.is_dir)
    if _holds(path.is_file):
        return path
    for name in ("network.json", "net.config"):
        if is_folder and (path / name).is_file():
            return path / name
    if path.suffix == ".json" or len(Path(text).parts) > 1 or is_folder:
        raise InputError(f"{path}: {'a folder' if is_folder else 'no such file'}, expected a JSON list of blocks")
    close = difflib.get_close_matches(text.casefold().replace("-", "_"), [*NAMED, *ALIASES], 1, 0.6)
    guess = f"; did you mean {ALIASES.get(close[0], close[0])}?" if close else ""
    raise InputError(
        f"there is no published network {short(text)}, expected one of {', '.join(NAMED)}, a file with a JSON list of "
        f"blocks, or {FBNET} with 22 choices{guess}"
    )


def _holds(check: Callable[[], bool]) -> bool:
    """Whether it is so; not of too long a name, nor of one with a zero byte."""
    try:
        return check()
    except (OSError, ValueError):
        return False


def _of_file(path: Path, resolution: int | None) -> BlockNetwork:
    if (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"{path}: {size / 2**20:.0f} MiB, more than a list of blocks ever has")
    content = parse_json(content_of(path), path)
    if not isinstance(content, dict):
        return read_block_list(content, path, resolution)
    if "blocks" in content and {"first_conv", "input_stem"} & set(content):
        return _of_net_config(content, path, resolution)
    if content.get("format") == SPEC and "layers" in content:
        return read_block_list({"name": _name(path), "blocks": content["layers"]}, path, resolution)
    if {"results", "depths", "d"} & set(content):
        raise InputError(
            f"{path}: names sub-networks of a space, and these are networks in none: ofa.costs, ofa.export and "
            "ofa.evaluate take it"
        )
    return read_block_list(content, path, resolution)


def _of_net_config(content: Mapping[str, Any], path: Path, resolution: int | None) -> BlockNetwork:
    """run.config beside it says at which resolution, where none is asked for."""
    if resolution is None:
        beside = path.with_name("run.config")
        if not beside.is_file():
            raise InputError(
                f"{path}: a net.config does not state its resolution, and there is no {beside} that does: "
                "give it with --resolution"
            )
        resolution = PIXELS.whole(f"{beside}: image_size", read_json(beside).get("image_size"))
    PIXELS.check("resolution", resolution)
    try:
        layers = read_net_config(content, resolution).layers
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # the reader takes each layer's word for its channels
    rows = [{"name": name, **{field: getattr(block, field) for field in BLOCK_FIELDS}} for name, block in layers]
    return read_block_list({"name": _name(path), "source": str(path), "blocks": rows}, path)


def _name(path: Path) -> str:
    """Of the folder, where the file is called as all are."""
    name = path.resolve().parent.name if path.stem in ("net", "network") else path.name.removesuffix(".json")
    return name.removesuffix(".net") or path.name
