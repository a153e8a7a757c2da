"""Checkpoints: ours in safetensors, and the original implementation's, read and written.

A checkpoint is checked in full before the network is touched: every tensor must be there, have the right shape and
hold finite values, and there must be no other.
"""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ofa.blocks import Block, slots_of
from ofa.blocks.costs import block_params
from ofa.checkpoints.mit_layout import mit_names, modern_name, spec_from_net_config, spec_to_net_config
from ofa.checkpoints.tensors import read_metadata, read_tensors
from ofa.errors import InputError
from ofa.images.facts import ImageFacts, facts_of_metadata
from ofa.networks.plain import PlainNetwork
from ofa.networks.spec import NetworkSpec, share_of_1
from ofa.networks.supernet import Supernet, layer_name
from ofa.reading.numbers import PIXELS, Bounds, cut
from ofa.reading.structured import need, parse_object, read_json
from ofa.runs.files import replace_file, write_json
from ofa.space import SearchSpace, checked_resolutions, get_space
from ofa.space.description import DESCRIPTION, HASH, NAME, recorded_space, require_same, space_record
from ofa.space.resolutions import MOST_RESOLUTION

CLASSES = Bounds(1, 10**6, "classes")
WIDTH = Bounds(0.01, 4, "a width")
SUPERNET_FORMAT = "ofa-supernet/1"
WEIGHTS_FILE, CONFIG_FILE = "network.safetensors", "network.json"
CALIBRATION = "calibration.images"  # a tensor that is not a weight: see `read_calibration`


def load_checkpoint(
    net: Supernet | PlainNetwork, path: str | os.PathLike[str], *, kernel_matrices: bool = True
) -> None:
    """Fills the network with the weights of a checkpoint: ours, or MIT's of the same architecture.

    kernel_matrices: False to fill a supernet from a plain network of its largest architecture (the teacher):
        the file has no kernel transformation matrices, and the network keeps its own
    Raises InputError, before anything is changed, where the file cannot be read or would run code, and where a
    tensor is missing, unknown, of another shape or not finite, naming it.
    """
    fill(net, path, *read_tensors(path), kernel_matrices)


def fill(
    net: Supernet | PlainNetwork,
    path: str | os.PathLike[str],
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    kernel_matrices: bool = True,
) -> None:
    """As `load_checkpoint`, with what was read of the file."""
    tensors.pop(CALIBRATION, None)
    _check_origin(net, path, metadata)
    expected = {
        name: tensor for name, tensor in net.state_dict().items() if kernel_matrices or ".matrices." not in name
    }
    ours = metadata.get("format") == _metadata(net)["format"]
    given = {name: (name, tensor) for name, tensor in tensors.items()} if ours else _our_names(net, tensors)
    shown = {name: as_given for name, (as_given, _) in given.items()}
    missing = [name for name in expected if name not in given]
    extra = [shown[name] for name in given if name not in expected]
    if missing or extra:
        faults = [
            f"{label} {_first_names(names)}" for label, names in (("missing", missing), ("unknown", extra)) if names
        ]
        raise InputError(f"{path}: not a checkpoint of this network: {'; '.join(faults)}")
    for name, (as_given, tensor) in given.items():
        if tensor.shape != expected[name].shape:
            wanted = tuple(expected[name].shape)
            raise InputError(f"{path}: {as_given} is of shape {tuple(tensor.shape)}, expected {wanted}")
        if not tensor.isfinite().all():
            raise InputError(f"{path}: {as_given} holds values that are not finite (NaN or infinite)")
    with torch.no_grad():
        for name, (_, tensor) in given.items():
            expected[name].copy_(tensor)


def save_checkpoint(
    net: Supernet | PlainNetwork,
    path: str | os.PathLike[str],
    layout: Literal["ofa", "mit"] = "ofa",
    facts: Mapping[str, Any] | None = None,
    calibration: Tensor | None = None,
    half: bool = False,
    images: ImageFacts | None = None,
) -> None:
    """Writes all weights and statistics to a file, in one step: an interrupted write leaves the old file.

    layout: "ofa" is safetensors, with the architecture in its metadata; "mit" is what the original implementation
        loads: torch.save of {"state_dict": ...} under its names
    facts: what else to say of the weights (JSON), in the metadata of "ofa": `read_facts` reads it
    calibration: images to calibrate its sub-networks with, for `read_calibration`, in "ofa"
    half: convolutions and linear layers as float16
    images: what is known of the images it was trained on, in the metadata of "ofa": `read_image_facts` reads it
    Raises InputError where the file cannot be written.
    """
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}
    if calibration is not None:
        tensors[CALIBRATION] = calibration
    metadata = _metadata(net) | ({} if facts is None else {"training": json.dumps(facts)})
    metadata |= {} if images is None else {"images": images.to_json()}

    def write(part: Path) -> None:
        if layout == "mit":
            names = _mit_names_of(net)
            for name in tensors:
                if name not in names:
                    raise InputError(f"{path} cannot be written: the original implementation has nothing like {name}")
            torch.save({"state_dict": OrderedDict((names[name], tensor) for name, tensor in tensors.items())}, part)
        else:
            save_file(tensors, part, metadata=metadata)

    if layout not in ("ofa", "mit"):
        raise InputError(f"layout is {layout!r}, expected ofa or mit")
    try:
        replace_file(path, write)
    except (SafetensorError, RuntimeError) as error:  # torch's of a full disk
        raise InputError(f"{path} cannot be written: {error}") from None


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_checkpoint` was told of the training; empty if nothing."""
    return parse_object(read_metadata(path).get("training", "{}"), f"{path}: damaged metadata")


def read_image_facts(path: str | os.PathLike[str]) -> ImageFacts | None:
    """What a checkpoint or network, a file or a folder, knows of its images; None for MIT's, and old ones of ours.

    Raises InputError where the file is absent, or what it says is damaged.
    """
    path = Path(path)
    file = path / WEIGHTS_FILE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        return None
    return facts_of_metadata(read_metadata(file), path)


def read_calibration(path: str | os.PathLike[str]) -> Tensor | None:
    """The (N, 3, R, R) bytes to calibrate a supernet's sub-networks with, all in one batch, where its file has them."""
    images = read_tensors(path, only=CALIBRATION)[0].get(CALIBRATION)
    if images is not None and (images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3):
        raise InputError(f"{path}: {CALIBRATION} is {images.dtype} of shape {tuple(images.shape)}, expected images")
    return images


def load_supernet(path: str | os.PathLike[str]) -> Supernet:
    """The supernet of a checkpoint of ours, which names its space. For MIT's, build it and use `load_checkpoint`."""
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != SUPERNET_FORMAT:
        raise InputError(f"{path} does not state what supernet it holds: use build_supernet and load_checkpoint")
    where = f"{path}: damaged metadata"
    config = _config_of(metadata, path)
    try:
        space = _space_in(config, where)
        dropout = share_of_1("dropout", config.get("dropout"))
        listed = need(config, "resolutions", list, where)
        if len(listed) > MOST_RESOLUTION:
            raise InputError(f"{len(listed)} resolutions")
        resolutions = checked_resolutions(listed)
    except InputError as error:
        raise error if str(error).startswith(where) else InputError(f"{where}: {error}") from None
    check_plausible(path, [slot.blocks[-1] for slot in slots_of(space)], tensors)
    net = Supernet(space, dropout, resolutions)
    fill(net, path, tensors, metadata)
    return net


def _space_in(config: Mapping[str, Any], where: str) -> SearchSpace:
    classes = CLASSES.whole(f"{where}: num_classes", config.get("num_classes"))
    if config.get(DESCRIPTION) is not None or config.get("width_mults") is None:
        return recorded_space(config, where, classes)
    # from before there were descriptions, of ResNet50D
    widths = [WIDTH.check("width_mults", w) for w in need(config, "width_mults", list, where)]
    return get_space(need(config, NAME, str, where), classes, widths)


def check_plausible(
    path: str | os.PathLike[str], blocks: Iterable[Block | None], tensors: Mapping[str, Tensor]
) -> None:
    """InputError where blocks that a file speaks of need many more weights than it holds.

    They would be allocated before the first tensor is found to be of another shape.
    """
    stated = sum(block_params(block) for block in blocks if block is not None)
    held = sum(tensor.numel() for tensor in tensors.values())
    if stated > 2 * held + 10**6:
        raise InputError(f"{path}: holds {held:,} weights, but describes a network of {stated:,}")


def load_plain(spec: NetworkSpec, path: str | os.PathLike[str]) -> PlainNetwork:
    """The plain network of that architecture, in evaluation mode, with a checkpoint's weights."""
    tensors, metadata = read_tensors(path)
    check_plausible(path, spec.blocks, tensors)
    network = PlainNetwork(spec)
    fill(network, path, tensors, metadata)
    return network.eval()


def save_network(network: PlainNetwork, folder: str | os.PathLike[str], images: ImageFacts | None = None) -> None:
    """Writes a plain network as a folder: network.safetensors, and its architecture as network.json.

    images: what is known of the images it was trained on
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = None if images is None else replace(images, resolution=network.spec.resolution)
    save_checkpoint(network, folder / WEIGHTS_FILE, images=images)
    write_json(folder / CONFIG_FILE, network.spec.to_dict())


def save_mit_network(network: PlainNetwork, folder: str | os.PathLike[str]) -> None:
    """Writes a plain network as the original implementation publishes them: net.config, run.config and init."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_checkpoint(network, folder / "init", layout="mit")
    write_json(folder / "net.config", spec_to_net_config(network.spec))
    write_json(folder / "run.config", {"image_size": network.spec.resolution})


def load_network(path: str | os.PathLike[str]) -> PlainNetwork:
    """A plain network, in evaluation mode, from any of: a folder of `save_network`, the .safetensors file in it,
    or a folder of MIT's (net.config, run.config, init)."""
    path = Path(path)
    if path.is_dir() and (path / "net.config").is_file():
        size = PIXELS.whole(f"{path / 'run.config'}: image_size", read_json(path / "run.config").get("image_size"))
        return load_plain(_in_file(path / "net.config", spec_from_net_config, size), path / "init")
    if path.is_dir():
        return load_plain(_in_file(path / CONFIG_FILE, NetworkSpec.from_dict), path / WEIGHTS_FILE)
    metadata = read_metadata(path)
    if not metadata.get("format", "").startswith("ofa-network/"):
        raise InputError(f"{path} does not state what network it holds: give its folder, or use load_checkpoint")
    try:
        spec = NetworkSpec.from_dict(_config_of(metadata, path))
    except InputError as error:
        raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from None
    return load_plain(spec, path)


def _in_file(path: Path, read: Any, *arguments: Any) -> Any:
    try:
        return read(read_json(path), *arguments)
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None


# ---- names


def _metadata(net: Supernet | PlainNetwork) -> dict[str, str]:
    if isinstance(net, PlainNetwork):
        config = net.spec.to_dict()
        return {"format": config["format"], "config": json.dumps(config)}
    space = net.space
    config = {
        **space_record(space),
        "num_classes": space.num_classes,
        "resolutions": net.resolutions,
        # of a space whose name does not say them; what earlier versions read
        "width_mults": space.width_choices if len(space.width_choices) > 1 or space.deep_stem else None,
        "dropout": net.dropout,
    }
    return {"format": SUPERNET_FORMAT, "config": json.dumps(config)}


def _config_of(metadata: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file of ours says of its architecture."""
    return parse_object(metadata.get("config", ""), f"{path}: damaged metadata")


def _check_origin(net: Supernet | PlainNetwork, path: str | os.PathLike[str], metadata: dict[str, str]) -> None:
    """Says which space a supernet's file is of, rather than which of its 475 tensors has another shape first."""
    if metadata.get("format") == SUPERNET_FORMAT and isinstance(net, Supernet):
        given, wanted = _config_of(metadata, path), json.loads(_metadata(net)["config"])
        for key in ("space", "num_classes", "width_mults"):
            if given.get(key) != wanted[key]:
                raise InputError(f"{path}: {key} is {cut(given.get(key))}, but the network's is {wanted[key]}")
        if given.get(HASH) not in (None, wanted[HASH]):
            require_same(net.space, recorded_space(given, path, net.space.num_classes), path)


def _mit_names_of(net: Supernet | PlainNetwork) -> dict[str, str]:
    if isinstance(net, PlainNetwork):
        return mit_names(net.state_dict(), net.spec.family, net.spec.layers, elastic=False)
    return mit_names(net.state_dict(), net.space.family, _largest(net), elastic=True)


def _largest(net: Supernet) -> list[tuple[str, Any]]:
    return [(layer_name(slot), slot.blocks[-1]) for slot in slots_of(net.space)]


def _our_names(net: Supernet | PlainNetwork, tensors: dict[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """The file's own name and the tensor, by our name; unknown names stay as they are."""
    ours = {mit: name for name, mit in _mit_names_of(net).items()}
    if isinstance(net, Supernet):
        # a plain network of the largest architecture has the names of a network with nothing elastic
        plain = mit_names(net.state_dict(), net.space.family, _largest(net), elastic=False)
        ours = {**{mit: name for name, mit in plain.items() if ".matrices." not in name}, **ours}
    modern = {name: modern_name(name) for name in tensors}
    ranks = _block_ranks(modern.values()) if isinstance(net, PlainNetwork) else {}
    found = {}
    for name, tensor in tensors.items():
        key = re.sub(r"^blocks\.(\d+)\.", lambda m: f"blocks.{ranks.get(m[1], m[1])}.", modern[name])
        found[ours.get(key, key)] = (name, tensor)
    return found


def _block_ranks(names: Any) -> dict[str, int]:
    """The position of every block among those that have tensors: MIT also counts blocks that do nothing."""
    numbers = {match[1] for name in names if (match := re.match(r"blocks\.(\d+)\.", name))}
    return {number: rank for rank, number in enumerate(sorted(numbers, key=int))}


def _first_names(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
