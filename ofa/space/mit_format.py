"""The original implementation's formats: the architecture dict, and the net.config of a specialised network.

Dict: {"ks": 20 kernel sizes, "e": 20 expand ratios, "d": depths, "r": resolution, "w": width *indices*}.
A single number stands for a whole list. ProxylessNAS has a sixth unit of one block, whose depth may be left out.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import Bounds, short
from ofa.space.families import get_space
from ofa.space.space import SearchSpace
from ofa.space.subnet import Subnet

SIZES = Bounds(1, 10**6, "channels, pixels or classes")
_SIZES = ("r", "image_size")
_LONGEST_TEXT = 4000
_FIELDS = {"ks": "kernel_sizes", "e": "expand_ratios", "d": "depths", "w": "width_mults"}


def subnet_from_mit(space: SearchSpace, config: Mapping[str, Any], resolution: int | None = None) -> Subnet:
    """The sub-network of an MIT dict; the resolution is the argument, or the dict's "r" or "image_size".

    What others write is read as well: lists of the used layers alone, null for what a space does not have, and "w" as
    the width that the whole space is of. InputError names a key that is unknown, contradicts, or does not fit.
    """
    unknown = sorted(map(str, set(config) - {*_FIELDS, *_SIZES, "wid"}))
    if unknown:
        raise InputError(f"MIT sub-network: unknown keys {short(unknown)}, expected ks, e, d, w, r")
    size = _resolution(config, resolution)
    fields: dict[str, list[Any]] = {}
    for key, field in _FIELDS.items():
        count = space.columns(field).stop - space.columns(field).start
        value = config.get(key, config.get("wid") if key == "w" else None)
        if count == 0:
            _check_absent(space, key, value)
        elif value is None:
            raise InputError(f"MIT sub-network: {key} is missing, expected {count} values for {space.name}")
        else:
            fields[field] = list(value) if isinstance(value, list | tuple) else [value] * count
    if "width_mults" in fields:
        fields["width_mults"] = [_width(space, i, w) for i, w in enumerate(fields["width_mults"])]
    fields["depths"] = _depths(space, fields["depths"])
    for field in ("kernel_sizes", "expand_ratios"):
        if field in fields:
            fields[field] = _all_layers(space, fields["depths"], fields[field])
    return space.subnet(**fields, resolution=size)


def subnet_from_text(space: SearchSpace, text: str) -> Subnet:
    """The sub-network of an MIT dict as Python prints it, as DyNAS-T's CSV files have it; nothing is evaluated."""
    if len(text) > _LONGEST_TEXT:
        raise InputError(f"MIT sub-network: a text of {len(text)} characters")
    try:
        config = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InputError(f"MIT sub-network: {short(text)} is no dict with ks, e, d and r")
    return subnet_from_mit(space, config)


def _resolution(config: Mapping[str, Any], resolution: int | None) -> int:
    found = [] if resolution is None else [resolution]
    for key in _SIZES:
        listed = config.get(key)
        if isinstance(listed, list | tuple):
            if len(listed) != 1:
                raise InputError(f"MIT sub-network: {key} is {short(listed)}, expected one resolution")
            listed = listed[0]
        if listed is None:
            continue
        if isinstance(listed, bool) or not isinstance(listed, int):
            raise InputError(f"MIT sub-network: {key} is {short(listed)}, expected a resolution in pixels")
        if found and listed != found[0]:
            raise InputError(f"MIT sub-network: resolution is {found[0]}, but {key} is {short(listed)}")
        found.append(listed)
    if not found:
        raise InputError('MIT sub-network: no resolution: pass resolution=..., or "r" in the dict')
    return found[0]


def _check_absent(space: SearchSpace, key: str, value: Any) -> None:
    """InputError where a file gives what all networks of the space share, and gives it otherwise."""
    if key == "w" and value is not None:
        stated = list(value) if isinstance(value, list | tuple) else [value]
        width = space.width_choices[0]
        if not all(isinstance(each, int | float) and each == width for each in stated):
            raise InputError(f"MIT sub-network: w is {short(value)}, but {space.name} is of width {width:g}")
    if key == "ks" and isinstance(value, list | tuple) and len(value):
        raise InputError(f"MIT sub-network: {space.name} has no elastic kernel sizes, but ks is {short(value)}")


def _width(space: SearchSpace, i: int, index: Any) -> float:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(space.width_choices):
        raise InputError(f"MIT sub-network: w[{i}] is {short(index)}, expected 0 to {len(space.width_choices) - 1}")
    return space.width_choices[index]


def _all_layers(space: SearchSpace, depths: Sequence[Any], values: list[Any]) -> list[Any]:
    """The list for every layer, where only the used layers were listed."""
    used = [
        isinstance(depths[u], int) and j < space.units[u].base_depth + depths[u]
        for u, j in space.layers
        if len(depths) == len(space.units)
    ]
    if len(values) == len(space.layers) or len(values) != sum(used):
        return values
    rest = iter(values)
    return [next(rest) if here else 0 for here in used]


def _depths(space: SearchSpace, values: list[Any]) -> list[Any]:
    """MIT clamps the depth of ProxylessNAS's last unit, and skips ResNet50D's stem block at any depth but 2."""
    if space.family == "proxyless_nas":
        if len(values) == len(space.units) - 1:
            values = [*values, 1]
        if len(values) == len(space.units) and values[-1] in (1, 2, 3, 4) and values[-1] is not True:
            values[-1] = 1
    if space.family == "resnet50d" and values and values[0] == 1:
        values[0] = 0
    return values


def subnet_to_mit(space: SearchSpace, subnet: Subnet) -> dict[str, Any]:
    """The MIT dict of a sub-network. Skipped layers, which MIT's code ignores, hold the smallest choice."""
    config: dict[str, Any] = {"d": list(subnet.depths), "r": [subnet.resolution]}
    config["e"] = [e or space.expand_choices[0] for e in subnet.expand_ratios]
    if space.kernel_choices:
        config["ks"] = [k or space.kernel_choices[0] for k in subnet.kernel_sizes]
    if subnet.width_mults:
        config["w"] = [space.width_choices.index(w) for w in subnet.width_mults]
    return config


def subnet_from_net_config(config: Mapping[str, Any], resolution: int) -> tuple[SearchSpace, Subnet]:
    """The space (its width recognised by its channels) and sub-network of a specialised network's net.config.

    Covers MobileNetV3 and ProxylessNAS, the families of the published networks.
    """
    names = {"MobileNetV3": "mbv3", "ProxylessNASNets": "proxyless"}
    if config.get("name") not in list(names):
        raise InputError(f"net.config: name is {short(config.get('name'))}, expected one of {', '.join(names)}")
    try:
        convs = [block.get("mobile_inverted_conv") or block["conv"] for block in config["blocks"]]
        stem, classes = _sizes(config["first_conv"], "out_channels") + _sizes(config["classifier"], "out_features")
        columns = ("in_channels", "out_channels", "kernel_size", "stride")
        first, *rest = [(*_sizes(c, *columns), c.get("expand_ratio")) for c in convs]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"net.config: {short(error)} while reading blocks, first_conv and classifier") from None
    space = _space_with_channels(names[config["name"]], stem, first[1], classes, [row[1] for row in rest])
    kernels: list[int] = [0] * len(space.layers)
    expands: list[float] = [0] * len(space.layers)
    depths = [0] * len(space.units)
    u = -1
    for position, (in_channels, out_channels, kernel, stride, expand) in enumerate(rest, start=1):
        opens = u + 1 < len(space.units) and (in_channels != out_channels or stride == 2)
        if opens:
            u += 1
        elif u < 0:
            raise InputError(f"net.config: block {position} should open the first unit, but keeps size and channels")
        j = depths[u]
        depths[u] += 1
        if out_channels != space.units[u].out_channels[0] or stride != (space.units[u].stride if j == 0 else 1):
            raise InputError(f"net.config: block {position} does not fit unit {u + 1} of {space.name}")
        if j >= space.units[u].num_layers:
            raise InputError(f"net.config: unit {u + 1} has more than {space.units[u].num_layers} blocks")
        layer = space.layers.index((u, j))
        kernels[layer], expands[layer] = kernel, expand
    return space, space.subnet(kernels, expands, depths, resolution)


def _sizes(entry: Mapping[str, Any], *keys: str) -> tuple[int, ...]:
    return tuple(SIZES.whole(f"net.config: {key}", entry[key]) for key in keys)


def _space_with_channels(family: str, stem: int, first: int, classes: int, channels: Sequence[int]) -> SearchSpace:
    """The member of the family, by width in steps of 0.05, whose channels these are."""
    for width in sorted((i / 20 for i in range(1, 61)), key=lambda w: (w not in (1.0, 1.2, 1.3), w)):
        space = get_space(f"{family}-w{width}", classes)
        widths = [unit.out_channels[0] for unit in space.units]
        fixed = (space.stem.channels[0], None if space.first_block is None else space.first_block.channels)
        if (stem, first) == fixed and set(channels) == set(widths):
            return space
    wide = ", ".join(map(str, sorted(set(channels))))
    raise InputError(f"net.config: no width of {family} has a stem of {stem} and blocks of {wide}")
