"""A space as its description, for files: written, hashed, compared, and read back.

A file that is of a space says its name and the hash of its description; the description itself too, where the space
is not one of ours, so that the file is enough to know the space.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.reading.structured import as_object, need
from ofa.space.described import described_space, read_space
from ofa.space.families import get_space, label_of, space_file
from ofa.space.resolutions import RESOLUTIONS
from ofa.space.space import SearchSpace

NAME, HASH, DESCRIPTION = "space", "space_sha256", "space_description"  # in files
_NOT_HASHED = ("name", "resolutions")


def describe(space: SearchSpace) -> dict[str, Any]:
    """The description as TOML and JSON have it; channels are lists, one for each width. `described_space` reads it."""
    units = [
        {
            "operator": unit.op,
            "channels": list(unit.out_channels),
            "stride": unit.stride,
            "activation": unit.activation,
            "squeeze_excite": [False, True] if unit.squeeze_excite_chosen else unit.squeeze_excite,
            "kernel_sizes": list(unit.kernel_sizes),
            "expand_ratios": list(unit.expand_ratios),
            "depths": list(unit.depth_choices),
            "base_depth": unit.base_depth,
            **({} if unit.start_kernels == (0,) else {"start_kernels": list(unit.start_kernels)}),
        }
        for unit in space.units
    ]
    stem: dict[str, Any] = {"channels": list(space.stem.channels), "activation": space.stem.activation}
    if space.deep_stem:
        deep = units.pop(0)
        stem = {**stem, "kind": "deep", "channels": deep["channels"], "depths": deep["depths"]}
    first, head = space.first_block, space.head
    return {
        "name": space.name,
        "widths": list(space.width_choices),
        "channel_divisor": space.channel_divisor,
        "batch_norm_epsilon": space.bn_eps,
        "stem": stem,
        **(
            {}
            if first is None
            else {"first_block": {"channels": [first.channels], "activation": first.activation, "skip": first.skip}}
        ),
        "units": units,
        **(
            {"head": {**({"expand": [head.expand]} if head.expand else {}), **({"mix": [head.mix]} if head.mix else {}),
                      "activation": head.activation}}
            if head.expand or head.mix
            else {}
        ),
        **({} if space.resolutions == RESOLUTIONS else {"resolutions": list(space.resolutions)}),
    }  # fmt: skip


@lru_cache(maxsize=256)
def space_sha256(space: SearchSpace) -> str:
    """16 hex digits of the SHA-256 of what a space's networks are made of: not of its name, classes or resolutions."""
    hashed = {key: value for key, value in describe(space).items() if key not in _NOT_HASHED}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]


def described_in(path: Path) -> dict[str, Any]:
    """What a file describes; InputError with all that is wrong with it."""
    return describe(read_space(path))


def space_record(space: SearchSpace) -> dict[str, Any]:
    """What a file says of its space, as JSON; `recorded_space` reads it."""
    record: dict[str, Any] = {NAME: space.name, HASH: space_sha256(space)}
    return record if _is_ours(space) else {**record, DESCRIPTION: describe(space)}


def space_identity(space: SearchSpace) -> dict[str, Any]:
    """What binds a journal to its space: of ours the name, as in journals from before there were descriptions."""
    if DESCRIPTION not in space_record(space):
        return {NAME: space.name}
    return {NAME: space.name, DESCRIPTION: {key: v for key, v in describe(space).items() if key not in _NOT_HASHED}}


def recorded_space(record: Mapping[str, Any], where: object, num_classes: int = 1000) -> SearchSpace:
    """The space that a file says it is of. InputError where it cannot be known, or is another than of that name here.

    Files from before there were descriptions say the name alone.
    """
    name = need(record, NAME, str, where)
    if record.get(DESCRIPTION) is None:
        try:
            space = named_space(name, num_classes)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    else:
        stated = as_object(record[DESCRIPTION], f"{where}: {DESCRIPTION}")
        space = described_space(stated, f"{where}: {DESCRIPTION}", num_classes, any_name=True)
        if space.name != name:
            raise InputError(f"{where}: {NAME} is {short(name)}, but its description is of {space.name}")
        space = replace(space, family=label_of(name))
    stated_hash = record.get(HASH)
    if stated_hash is not None and stated_hash != space_sha256(space):
        raise InputError(
            f"{where}: {HASH} is {short(stated_hash)}, but that of {name} is {space_sha256(space)}: "
            + (
                "its description was edited"
                if DESCRIPTION in record
                else "another version of this program describes it"
            )
        )
    return space


def named_space(name: str, num_classes: int = 1000) -> SearchSpace:
    """The space that a file's content names: never another file, that would be opened."""
    if space_file(name) is not None:
        raise InputError(f"space is {short(name)}, expected a name such as mbv3-w1.0")
    return get_space(name, num_classes)


def require_same(asked: SearchSpace, found: SearchSpace, where: object) -> None:
    """InputError, by the first key that differs, unless both are of one name and description.

    where: the file that `found` is of
    """
    if asked.name == found.name and space_sha256(asked) == space_sha256(found):
        return
    difference = first_difference(found, asked)
    if asked.name != found.name:
        raise InputError(f"{where} is of {found.name}, not {asked.name}")
    assert difference is not None
    key, was, now = difference
    raise InputError(f"{where} is of another {asked.name}: {key} is {was} there, and {now} in {asked.source or 'ours'}")


def require_asked(asked: str, found: SearchSpace, where: object) -> None:
    """As `require_same`; asked: a name, or the file of a description."""
    if space_file(asked) is not None:
        require_same(get_space(asked, found.num_classes), found, where)
    elif asked != found.name:
        raise InputError(f"{where} is of {found.name}, not {asked}")


def first_difference(one: SearchSpace, other: SearchSpace) -> tuple[str, str, str] | None:
    """The first key of two descriptions that differs, and both values in words; None where none does."""
    a, b = (dict(_flat(describe(space))) for space in (one, other))
    for key in [*a, *b]:
        if key != "name" and not key.startswith("resolutions") and a.get(key) != b.get(key):
            return key, short(a.get(key)), short(b.get(key))
    return None


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield f"number of {key}", len(value)
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{i}]")
    else:
        yield key, value


@lru_cache(maxsize=256)
def _is_ours(space: SearchSpace) -> bool:
    """Whether its name alone says what it is."""
    if space.source:
        return False
    try:
        return space_sha256(get_space(space.name)) == space_sha256(space)
    except InputError:
        return False


def to_toml(space: SearchSpace) -> str:
    """The description as a TOML file that `get_space` reads."""
    content = describe(space)
    lines = [
        f"{key} = {_toml(value)}" for key, value in content.items() if not isinstance(value, dict) and key != "units"
    ]
    for key in ("stem", "first_block"):
        if key in content:
            lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in content[key].items())]
    for unit in content["units"]:
        lines += ["", "[[units]]", *(f"{name} = {_toml(value)}" for name, value in unit.items())]
    if "head" in content:
        lines += ["", "[head]", *(f"{name} = {_toml(value)}" for name, value in content["head"].items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Numbers, text, flags and lists of them are written as in JSON."""
    return json.dumps(value)
