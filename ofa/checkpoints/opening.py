"""The one opening of checkpoints: a supernet, or what of a checkpoint a file of sub-networks names.

A checkpoint is a supernet's (ours or MIT's), or holds a specialised network, which needs no such file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa import networks
from ofa.checkpoints.subnet_file import NamedSubnet
from ofa.checkpoints.tensors import read_tensors
from ofa.checkpoints.weights import SUPERNET_FORMAT, load_checkpoint, load_network, load_supernet, read_image_facts
from ofa.errors import InputError
from ofa.networks import PlainNetwork, Supernet, build_supernet
from ofa.space import Subnet, checked_resolution, get_space

WEIGHTS = Path(networks.__file__).parent / "weights"  # a supernet a space, each with its model card
_CLASSIFIERS = ("classifier.linear.linear.weight", "classifier.linear.weight")


def open_supernet(path: Path, space_name: str | None = None, num_classes: int | None = None) -> Supernet:
    """The supernet in a checkpoint, ours or MIT's.

    space_name, num_classes: for checkpoints that do not say
    Raises InputError where it holds something else, its space is not known, or is another than asked for.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected the file of a supernet")
    tensors, metadata = read_tensors(path)
    if metadata.get("format", "").startswith("ofa-network/"):
        raise InputError(f"{path} holds one specialised network: expected a supernet")
    if metadata.get("format") == SUPERNET_FORMAT:
        net = load_supernet(path)
        if space_name and space_name != net.space.name:
            raise InputError(f"{path} is of {net.space.name}, not {space_name}")
        return net
    if not space_name:
        raise InputError(f"{path} does not say which space it is of: give --space")
    classes = _classes_in(tensors) or num_classes or 1000
    net = build_supernet(get_space(space_name, classes))
    load_checkpoint(net, path)
    return net


def num_classes_of(net: PlainNetwork | Supernet) -> int:
    """Classes of a network's classifier."""
    return net.space.num_classes if isinstance(net, Supernet) else net.spec.num_classes


def shipped_checkpoint(named: NamedSubnet | None, space_name: str | None = None) -> Path:
    """The supernet that comes with the package for a sub-network's space; InputError names those that exist."""
    name = space_name or ("" if named is None else named.space)
    path = WEIGHTS / f"{name}.safetensors"
    if named is None or not path.is_file():
        shipped = ", ".join(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))
        what = "without a sub-network" if named is None else f"for {name or f'{named.path}, which names no space'}"
        raise InputError(f"no supernet is shipped {what} (there is one for {shipped}): give --checkpoint")
    return path


@dataclass(frozen=True, eq=False)
class Source:
    """What a checkpoint holds, ready to export: a plain network, or a supernet and the sub-network to cut out."""

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


def load_source(
    checkpoint: Path, named: NamedSubnet | None, *, space_name: str | None = None, resolution: int | None = None
) -> Source:
    """Reads a checkpoint; a supernet's with the sub-network that `named` holds, at the resolution asked for.

    space_name: the space, where neither the file of the sub-network nor the checkpoint says
    Raises InputError where the checkpoint is damaged, of another space or class count than the sub-network, or needs
    a sub-network and has none.
    """
    if not checkpoint.exists():
        raise InputError(f"{checkpoint}: no such file or folder")
    if checkpoint.is_dir():
        return Source(plain=_specialised(checkpoint, named))
    tensors, metadata = read_tensors(checkpoint)
    kind = metadata.get("format", "")
    if kind.startswith("ofa-network/"):
        return Source(plain=_specialised(checkpoint, named))
    stored: dict[str, Any] = {}
    if kind == SUPERNET_FORMAT:
        try:
            stored = json.loads(metadata["config"])
            stored = {key: stored[key] for key in ("space", "num_classes", "width_mults", "dropout")}
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise InputError(f"{checkpoint}: damaged metadata: {error!r}") from None
    if named is None:
        raise InputError(
            f"{checkpoint} holds a supernet{_of(stored)}, or does not say what it holds: name the sub-network "
            "with --subnet (a specialised network is given as its folder)"
        )
    name = space_name or named.space or stored.get("space")
    if not name:
        raise InputError(f"neither {named.path} nor {checkpoint} says which space they are of: give --space")
    for label, given in ((f"{checkpoint} is", stored.get("space")), (f"{named.path} is", named.space or None)):
        if given and given != name:
            raise InputError(f"{label} of {given}, not {name}")
    classes = stored.get("num_classes") or _classes_in(tensors)
    if named.num_classes is not None and classes is not None and classes != named.num_classes:
        raise InputError(f"{checkpoint} has {classes} classes, but {named.path} says {named.num_classes}")
    classes = classes or named.num_classes or 1000
    space = get_space(name, classes, stored.get("width_mults"))
    subnet = named.subnet(space)
    if resolution is not None:
        subnet = replace(subnet, resolution=checked_resolution(resolution))
    named.check_classes(read_image_facts(checkpoint), checkpoint)
    net = Supernet(space, float(stored.get("dropout", 0.0)))
    load_checkpoint(net, checkpoint)
    return Source(supernet=net.eval(), subnet=subnet)


def _of(stored: Mapping[str, Any]) -> str:
    return f" of {stored['space']}" if "space" in stored else ""


def _classes_in(tensors: Mapping[str, Any]) -> int | None:
    """The class count of a checkpoint that does not state it: the rows of its classifier."""
    for name, tensor in tensors.items():
        if name.removeprefix("module.") in _CLASSIFIERS and tensor.ndim == 2:
            return int(tensor.shape[0])
    return None


def _specialised(checkpoint: Path, named: NamedSubnet | None) -> PlainNetwork:
    network = load_network(checkpoint)
    spec = network.spec
    if named is not None:
        if spec.subnet is None or not spec.space:
            raise InputError(f"{checkpoint} holds one specialised network, not a supernet: leave --subnet out")
        space = get_space(spec.space, spec.num_classes)
        asked = named.subnet(space)
        if (named.space or spec.space) != spec.space or replace(asked, resolution=spec.resolution) != spec.subnet:
            raise InputError(f"{checkpoint} holds another sub-network than {named.path}: leave --subnet out")
    return network
