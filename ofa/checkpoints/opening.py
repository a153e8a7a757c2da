"""The one opening of checkpoints: what is in a file or folder, and the network that it holds.

A checkpoint is a supernet's, ours or MIT's, or holds a specialised network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from ofa.blocks import slots_of
from ofa.checkpoints.subnet_file import NamedSubnet
from ofa.checkpoints.tensors import read_metadata, read_tensors
from ofa.checkpoints.weights import (
    SUPERNET_FORMAT,
    check_plausible,
    fill,
    load_network,
    load_supernet,
    read_image_facts,
)
from ofa.errors import InputError
from ofa.networks import PlainNetwork, Supernet, build_supernet
from ofa.space import Subnet, checked_resolution, get_space
from ofa.space.description import require_asked, require_same, space_sha256
from ofa.zoo_files import published_space

_CLASSIFIERS = ("classifier.linear.linear.weight", "classifier.linear.weight")


def checkpoint_kind(path: Path) -> Literal["network", "supernet", "unknown"]:
    """What a checkpoint says that it is: a specialised network (as every folder), a supernet, or nothing (MIT's files).

    No tensor is read. InputError where it is not there.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    stated = "" if path.is_dir() else read_metadata(path).get("format", "")
    if path.is_dir() or stated.startswith("ofa-network/"):
        return "network"
    return "supernet" if stated == SUPERNET_FORMAT else "unknown"


def open_checkpoint(
    path: Path, space_name: str | None = None, num_classes: int | None = None
) -> PlainNetwork | Supernet:
    """The network in a checkpoint. What does not say what it is, is opened as a supernet.

    space_name, num_classes: of supernets that do not say; a plain network says itself
    Raises InputError where it is damaged, its space is not known, or is another than asked for.
    """
    kind = checkpoint_kind(path)
    if kind == "network":
        return load_network(path)
    if kind == "supernet":
        net = load_supernet(path)
        if space_name:
            require_asked(space_name, net.space, path)
        return net
    if not space_name:
        raise InputError(f"{path} does not name its space: give --space{_hint(path)}")
    tensors, metadata = read_tensors(path)
    space = get_space(space_name, _classes_in(tensors) or num_classes or 1000)
    check_plausible(path, [slot.blocks[-1] for slot in slots_of(space)], tensors)
    net = build_supernet(space)
    fill(net, path, tensors, metadata)
    return net


def open_supernet(path: Path, space_name: str | None = None, num_classes: int | None = None) -> Supernet:
    """As `open_checkpoint`; InputError where it is no supernet."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected the file of a supernet")
    net = open_checkpoint(path, space_name, num_classes)
    if not isinstance(net, Supernet):
        raise InputError(f"{path} holds one specialised network: expected a supernet")
    return net


def num_classes_of(net: PlainNetwork | Supernet) -> int:
    """Classes of a network's classifier."""
    return net.space.num_classes if isinstance(net, Supernet) else net.spec.num_classes


@dataclass(frozen=True, eq=False)
class OpenedNetwork:
    """A checkpoint's plain network, or its supernet and the sub-network that is to be cut out."""

    plain: PlainNetwork | None = None
    supernet: Supernet | None = None
    subnet: Subnet | None = None

    @property
    def num_classes(self) -> int:
        """Of the classifier."""
        if self.supernet is not None:
            return self.supernet.space.num_classes
        assert self.plain is not None
        return self.plain.spec.num_classes


def open_subnet(
    checkpoint: Path, named: NamedSubnet | None, *, space_name: str | None = None, resolution: int | None = None
) -> OpenedNetwork:
    """Opens a checkpoint; a supernet's with the sub-network that `named` holds, at the resolution asked for.

    space_name: the space, where neither the file of the sub-network nor the checkpoint says
    Raises InputError where the checkpoint is damaged, of another space or class count than the sub-network, or needs
    a sub-network and has none.
    """
    kind = checkpoint_kind(checkpoint)
    if kind == "network":
        return OpenedNetwork(plain=_specialised(checkpoint, named))
    if named is None:
        space = f" of {open_supernet(checkpoint).space.name}" if kind == "supernet" else ""
        raise InputError(
            f"{checkpoint} holds a supernet{space}, or does not state what it holds: name the sub-network "
            "with --subnet (a specialised network is given as its folder)"
        )
    if kind == "unknown" and not (space_name or named.space):
        raise InputError(f"neither {named.path} nor {checkpoint} names a space: give --space{_hint(checkpoint)}")
    if space_name and named.space:
        require_asked(space_name, named.known_space(), named.path)
    net = open_supernet(checkpoint, space_name or named.space, named.num_classes)
    if named.space:
        require_same(net.space, named.known_space(), named.path)
    classes = net.space.num_classes
    if named.num_classes not in (None, classes):
        raise InputError(f"{checkpoint} has {classes} classes, but {named.path} states {named.num_classes}")
    size = named.resolution if resolution is None else resolution
    subnet = replace(named.subnet(net.space), resolution=checked_resolution(size))
    named.check_classes(read_image_facts(checkpoint), checkpoint)
    return OpenedNetwork(supernet=net.eval(), subnet=subnet)


def _hint(path: Path) -> str:
    """The end of a message that asks for the space: that of the original's file of this name."""
    space = published_space(path)
    return f", such as {space}, which the original's file of that name is of" if space else ""


def _classes_in(tensors: Mapping[str, Tensor]) -> int | None:
    """The class count of a checkpoint that does not state it: the rows of its classifier."""
    for name, tensor in tensors.items():
        if name.removeprefix("module.") in _CLASSIFIERS and tensor.ndim == 2:
            return int(tensor.shape[0])
    return None


def _specialised(checkpoint: Path, named: NamedSubnet | None) -> PlainNetwork:
    network = open_checkpoint(checkpoint)
    assert isinstance(network, PlainNetwork)  # its kind says so
    spec = network.spec
    if named is not None:
        if spec.subnet is None or not spec.space:
            raise InputError(f"{checkpoint} holds one specialised network, not a supernet: leave --subnet out")
        if (named.space or spec.space) != spec.space:
            raise InputError(f"{checkpoint} is of {spec.space}, {named.path} of {named.space}: leave --subnet out")
        space = named.known_space(spec.num_classes) if named.space else get_space(spec.space, spec.num_classes)
        if spec.space_sha256 not in ("", space_sha256(space)):
            raise InputError(f"{checkpoint} is of another {spec.space} than {named.path}: leave --subnet out")
        asked = named.subnet(space)
        if replace(asked, resolution=spec.resolution) != spec.subnet:
            raise InputError(f"{checkpoint} holds another sub-network than {named.path}: leave --subnet out")
    return network
