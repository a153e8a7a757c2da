"""What to export: a sub-network named in a file, and the weights of a checkpoint.

A search's result.json, a sub-network's own JSON and the original implementation's dict all name a sub-network; a
checkpoint is a supernet's (ours or MIT's), or holds a specialised network, which needs no such file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa import networks
from ofa.errors import Infeasible, InputError
from ofa.images.facts import ImageFacts
from ofa.images.names import shown
from ofa.networks import PlainNetwork, Supernet
from ofa.networks.checkpoint import (
    SUPERNET_FORMAT,
    load_checkpoint,
    load_network,
    read_image_facts,
    read_json,
    read_tensors,
)
from ofa.space import RESOLUTIONS, SearchSpace, Subnet, get_space
from ofa.space.mit_format import subnet_from_mit

WEIGHTS = Path(networks.__file__).parent / "weights"  # a supernet a space, each with its model card
_MIT_KEYS = {"ks", "e", "d"}
_CLASSIFIERS = ("classifier.linear.linear.weight", "classifier.linear.weight")


@dataclass(frozen=True)
class NamedSubnet:
    """A sub-network as a file names it, not yet checked against a space.

    path: the file, for messages
    config: the fields of `Subnet.to_dict`, or an MIT dict
    space: the space's name, "" where the file does not say
    num_classes: None where the file does not say
    facts: what else a search said of it: table, limit_ms, latency_ms, predicted_top1
    images: what the search's predictor knows of its images, None where it does not say
    """

    path: Path
    config: Mapping[str, Any]
    space: str = ""
    num_classes: int | None = None
    facts: Mapping[str, Any] | None = None
    images: ImageFacts | None = None

    def check_classes(self, known: ImageFacts | None, checkpoint: Path) -> None:
        """InputError where a checkpoint tells other classes apart than the search's predictor was fitted on."""
        ours, theirs = (() if facts is None else facts.classes for facts in (self.images, known))
        if ours and theirs and ours != theirs:
            a, b = next(
                (pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]),  # of as many as both have
                (f"{len(ours)} classes", f"{len(theirs)}"),
            )
            raise InputError(
                f"{self.path} was searched by a predictor of other classes than {checkpoint} has: {shown(a)} instead "
                f"of {shown(b)}: search with a predictor of this supernet"
            )

    def subnet(self, space: SearchSpace) -> Subnet:
        """The validated sub-network; InputError names the file and field that is not of the space."""
        try:
            if _MIT_KEYS & set(self.config):
                return subnet_from_mit(space, self.config)
            return space.subnet_from_dict(self.config)
        except InputError as error:
            raise InputError(f"{self.path}: not a sub-network of {space.name}: {error}") from None

    @property
    def resolution(self) -> int:
        """Side of the images it was searched for, pixels; InputError if that is missing."""
        given = self.config.get("resolution", self.config.get("r"))
        if isinstance(given, list) and len(given) == 1:
            given = given[0]
        if isinstance(given, bool) or not isinstance(given, int):
            raise InputError(f"{self.path}: resolution is {given!r}, expected pixels")
        return given


def read_subnet(path: Path, *, index: int | None = None, limit_ms: float | None = None) -> NamedSubnet:
    """The sub-network in a file.

    index, limit_ms: which result of a result.json (default: the first)
    Raises InputError, naming the file and field; Infeasible where no result meets the limit.
    """
    content = read_json(path)
    classes = content.get("num_classes")
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int)):
        raise InputError(f"{path}: num_classes is {classes!r}, expected a whole number")
    space = content.get("space", "")
    if not isinstance(space, str):
        raise InputError(f"{path}: space is {space!r}, expected a name such as mbv3-w1.0")
    if "results" in content:
        results = content["results"]
        if not isinstance(results, list) or not results or not all(isinstance(r, dict) for r in results):
            raise InputError(f"{path}: results is not a list of results, as ofa.search writes it")
        chosen = results[_position(path, results, index, limit_ms)]
        keys = ("table", "limit_ms", "latency_ms", "predicted_top1")
        facts = {key: chosen[key] for key in keys if key in chosen}
        images = ImageFacts.from_dict(content["images"], path) if "images" in content else None
        return NamedSubnet(path, _fields(path, chosen.get("subnet")), space, classes, facts, images)
    if index is not None or limit_ms is not None:
        raise InputError(f"{path} holds one sub-network: --index and --limit are for a result.json of ofa.search")
    config = content.get("subnet", {k: v for k, v in content.items() if k not in ("space", "num_classes")})
    return NamedSubnet(path, _fields(path, config), space, classes)


def _fields(path: Path, config: Any) -> dict[str, Any]:
    if not isinstance(config, dict) or not ({"depths", "d"} & set(config)):
        raise InputError(
            f"{path}: no sub-network: expected a result.json of ofa.search, kernel_sizes, expand_ratios, depths and "
            "resolution, or MIT's ks, e, d and r"
        )
    return config


def _position(path: Path, results: Sequence[dict[str, Any]], index: int | None, limit_ms: float | None) -> int:
    """The result for a limit: searched for it, or the most accurate that is fast enough."""
    if limit_ms is None:
        position = index or 0
        if not 0 <= position < len(results):
            raise InputError(f"--index is {position}, but {path} has results 0 to {len(results) - 1}")
        return position
    for i, result in enumerate(results):
        # a frontier of energy has no limits in ms
        for key in ("limit_ms", "latency_ms") if result.get("limit_ms") is not None else ("latency_ms",):
            if isinstance(result.get(key), bool) or not isinstance(result.get(key), (int, float)):
                raise InputError(f"{path}: results[{i}].{key} is {result.get(key)!r}, expected milliseconds")
    tables = sorted({str(result.get("table")) for result in results})
    if len(tables) > 1:
        raise InputError(f"{path} has results of several devices ({', '.join(tables)}): choose with --index")
    exact = [i for i, result in enumerate(results) if math.isclose(result.get("limit_ms") or 0.0, limit_ms)]
    fitting = exact or [i for i, result in enumerate(results) if result["latency_ms"] <= limit_ms]
    if not fitting:
        fastest = min(result["latency_ms"] for result in results)
        raise Infeasible(f"no result of {path} takes at most {limit_ms:g} ms: the fastest takes {fastest:.2f} ms")
    return max(fitting, key=lambda i: (results[i].get("predicted_top1") or 0.0, -results[i]["latency_ms"]))


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
    sizes = {*RESOLUTIONS, named.resolution, resolution or named.resolution}
    classes = classes or named.num_classes or 1000
    space = get_space(name, classes, sizes, stored.get("width_mults"))
    subnet = named.subnet(space)
    if resolution is not None:
        subnet = replace(subnet, resolution=resolution)
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
        space = get_space(spec.space, spec.num_classes, {*RESOLUTIONS, named.resolution})
        asked = named.subnet(space)
        if (named.space or spec.space) != spec.space or replace(asked, resolution=spec.resolution) != spec.subnet:
            raise InputError(f"{checkpoint} holds another sub-network than {named.path}: leave --subnet out")
    return network
