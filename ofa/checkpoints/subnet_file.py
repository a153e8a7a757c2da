"""Sub-networks as files name them: a search's result.json, a sub-network's own JSON, the original's dict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ofa.errors import Infeasible, InputError, one_line
from ofa.images.facts import ImageFacts
from ofa.images.files.names import shown
from ofa.reading.numbers import MILLISECONDS, PERCENT, PIXELS, cut, short
from ofa.reading.structured import read_json
from ofa.space import SearchSpace, Subnet
from ofa.space.description import DESCRIPTION, HASH, NAME, recorded_space, space_record
from ofa.space.mit_format import subnet_from_mit, subnet_from_net_config

_MIT_KEYS = {"ks", "e", "d"}


@dataclass(frozen=True)
class NamedSubnet:
    """A sub-network as a file names it, not yet checked against a space.

    path: the file, for messages
    config: the fields of `Subnet.to_dict`, or an MIT dict
    space: the space's name, "" where the file does not say
    num_classes: None where the file does not say
    facts: what else a search said of it: table, limit_ms, latency_ms, predicted_top1, and the table's dtype
    images: what the search's predictor knows of its images, None where it does not say
    result: its number among the results of a search, None where the file holds this one alone
    record: what the file says of its space
    """

    path: Path
    config: Mapping[str, Any]
    space: str = ""
    num_classes: int | None = None
    facts: Mapping[str, Any] | None = None
    images: ImageFacts | None = None
    result: int | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def known_space(self, num_classes: int = 1000) -> SearchSpace:
        """The space, as the file says; InputError where it does not."""
        return recorded_space(self.record, self.path, num_classes)

    def check_classes(self, known: ImageFacts | None, checkpoint: Path) -> None:
        """InputError where a checkpoint tells other classes apart than the search's predictor was fitted on."""
        ours, theirs = (() if facts is None else facts.classes for facts in (self.images, known))
        if ours and theirs and sorted(ours) != sorted(theirs):  # in another order they are the same task
            only_ours, only_theirs = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
            a, b = f"{len(ours)} classes", f"{len(theirs)}"
            if only_ours and only_theirs:
                a, b = only_ours[0], only_theirs[0]
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
            raise InputError(f"{self.where}: not a sub-network of {space.name}: {error}") from None

    @property
    def where(self) -> str:
        """The file, and which of its results, for messages."""
        return f"{self.path}{'' if self.result is None else f': results[{self.result}]'}"

    @property
    def resolution(self) -> int:
        """Side of the images it was searched for, pixels; InputError if that is missing."""
        given = self.config.get("resolution", self.config.get("r", self.config.get("image_size")))
        if isinstance(given, list) and len(given) == 1:
            given = given[0]
        if isinstance(given, bool) or not isinstance(given, int):
            raise InputError(f"{self.where}: resolution is {short(given)}, expected pixels")
        return given


def read_subnet(path: Path, *, index: int | None = None, limit_ms: float | None = None) -> NamedSubnet:
    """The sub-network in a file.

    index, limit_ms: which result of a result.json (default: the first)
    Raises InputError, naming the file and field; Infeasible where no result meets the limit.
    """
    content = read_json(path)
    if "first_conv" in content and "blocks" in content:
        return _of_net_config(path, content)
    classes = content.get("num_classes")
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int)):
        raise InputError(f"{path}: num_classes is {short(classes)}, expected a whole number")
    space = content.get("space", "")
    if not isinstance(space, str):
        raise InputError(f"{path}: space is {short(space)}, expected a name such as mbv3-w1.0")
    record = {key: content[key] for key in (NAME, HASH, DESCRIPTION) if key in content}
    if space:
        try:
            recorded_space(record, path)
        except InputError as error:
            raise error if str(error).startswith(str(path)) else InputError(f"{path}: {error}") from None
    if "results" in content:
        results = content["results"]
        if results == []:
            raise Infeasible(f"{path} has no results: no network keeps a limit")
        if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
            raise InputError(f"{path}: results is not a list of results, as ofa.search writes it")
        position = _position(path, results, index, limit_ms)
        chosen = results[position]
        keys = ("table", "limit_ms", "latency_ms", "predicted_top1")
        facts = {key: chosen[key] for key in keys if key in chosen}
        if not isinstance(facts.get("table", ""), str):
            raise InputError(f"{path}: table is {short(facts['table'])}, expected a name")
        if (dtype := _table_dtype(content.get("tables"), facts.get("table"))) is not None:
            facts["dtype"] = dtype
        images = ImageFacts.from_dict(content["images"], path) if "images" in content else None
        fields = _fields(f"{path}: results[{position}]", chosen.get("subnet"))
        return NamedSubnet(path, fields, space, classes, facts, images, position, record)
    if index is not None or limit_ms is not None:
        raise InputError(f"{path} holds one sub-network: --index and --limit are for a result.json of ofa.search")
    beside = (NAME, HASH, DESCRIPTION, "num_classes")
    config = content.get("subnet", {k: v for k, v in content.items() if k not in beside})
    return NamedSubnet(path, _fields(str(path), config), space, classes, record=record)


def _table_dtype(tables: Any, name: Any) -> str | None:
    """The type of the networks that a result's table is of; None where it does not say."""
    table = tables.get(name) if isinstance(tables, dict) else None
    dtype = table.get("dtype") if isinstance(table, dict) else None
    return one_line(dtype)[:40] if isinstance(dtype, str) else None


def _of_net_config(path: Path, content: Mapping[str, Any]) -> NamedSubnet:
    """The sub-network that the original's net.config describes; run.config beside it says at which resolution."""
    beside = path.with_name("run.config")
    if not beside.is_file():
        raise InputError(f"{path}: a net.config does not state its resolution, and there is no {beside} that does")
    size = PIXELS.whole(f"{beside}: image_size", read_json(beside).get("image_size"))
    try:
        space, subnet = subnet_from_net_config(content, size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return NamedSubnet(path, subnet.to_dict(), space.name, space.num_classes, record=space_record(space))


def _fields(where: str, config: Any) -> dict[str, Any]:
    if not isinstance(config, dict) or not ({"depths", "d"} & set(config)):
        raise InputError(
            f"{where}: no sub-network: expected a result.json of ofa.search, kernel_sizes, expand_ratios, depths and "
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
            MILLISECONDS.check(f"{path}: results[{i}].{key}", result.get(key))
        if result.get("predicted_top1") is not None:
            PERCENT.check(f"{path}: results[{i}].predicted_top1", result["predicted_top1"])
    tables = sorted({str(result.get("table")) for result in results})
    if len(tables) > 1:
        raise InputError(f"{path} has results of several devices ({cut(', '.join(tables), 120)}): choose with --index")
    exact = [i for i, result in enumerate(results) if math.isclose(result.get("limit_ms") or 0.0, limit_ms)]
    fitting = exact or [i for i, result in enumerate(results) if result["latency_ms"] <= limit_ms]
    if not fitting:
        fastest = min(result["latency_ms"] for result in results)
        raise Infeasible(f"no result of {path} takes at most {limit_ms:g} ms: the fastest takes {fastest:.6g} ms")
    return max(fitting, key=lambda i: (results[i].get("predicted_top1") or 0.0, -results[i]["latency_ms"]))
