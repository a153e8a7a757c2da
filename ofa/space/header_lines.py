"""Which spaces a table is of, as its header says: names, the hashes of their descriptions, and those that are not ours.

    # space: mobilenet_v2, mbv3-w1.0
    # space_sha256: 0f1e2d3c4b5a6978, 8796a5b4c3d2e1f0
    # space_description: [{"name": "mobilenet_v2", ...}]

Tables from before there were descriptions have the first line alone.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.reading.structured import as_object, need, parse_json
from ofa.space import SearchSpace
from ofa.space.description import DESCRIPTION, HASH, NAME, recorded_space, require_same, space_record
from ofa.space.families import get_space, space_file

_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/\\:-]{1,200}\.toml")


def spaces_header(spaces: Iterable[SearchSpace]) -> dict[str, str]:
    """The lines of a table of those spaces."""
    listed = list(dict.fromkeys(spaces))
    names = [space.name for space in listed]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two spaces are called {twice[0]}: give one of them another name")
    records = [space_record(space) for space in listed]
    return {
        NAME: ", ".join(record[NAME] for record in records),
        HASH: ", ".join(record[HASH] for record in records),
        **descriptions_header(listed),
    }


def descriptions_header(spaces: Iterable[SearchSpace]) -> dict[str, str]:
    """The line that describes those of the spaces that are not ours; nothing where all are."""
    own = [record[DESCRIPTION] for record in map(space_record, spaces) if DESCRIPTION in record]
    return {DESCRIPTION: json.dumps(own)} if own else {}


def described_spaces(header: Mapping[str, str], where: object) -> dict[str, SearchSpace]:
    """The spaces that a header describes, by their names."""
    return {
        name: recorded_space({NAME: name, DESCRIPTION: stated}, where)
        for name, stated in _descriptions_in(header, where).items()
    }


def _descriptions_in(header: Mapping[str, str], where: object) -> dict[str, dict[str, Any]]:
    listed = parse_json(header.get(DESCRIPTION, "[]"), f"{where}: header {DESCRIPTION}")
    found = {}
    for stated in listed if isinstance(listed, list) else [listed]:
        content = as_object(stated, f"{where}: header {DESCRIPTION}")
        found[need(content, "name", str, f"{where}: header {DESCRIPTION}")] = content
    return found


def records_in(header: Mapping[str, str], where: object) -> dict[str, dict[str, Any]]:
    """What a header says of each space, by its name; InputError where its lines do not belong together."""
    names = [name.strip() for name in header[NAME].split(",")]
    records: dict[str, dict[str, Any]] = {name: {NAME: name} for name in names}
    if HASH in header:
        hashes = [text.strip() for text in header[HASH].split(",")]
        if len(hashes) != len(names):
            raise InputError(f"{where}: header {HASH} has {len(hashes)} values for {len(names)} spaces")
        for name, text in zip(names, hashes, strict=True):
            records[name][HASH] = text
    for name, stated in _descriptions_in(header, where).items():
        if name not in records:
            raise InputError(f"{where}: header {DESCRIPTION} is of {short(name)}, which {NAME} does not name")
        records[name][DESCRIPTION] = stated
    return records


def _stated_file(header: Mapping[str, str]) -> str:
    """The description's file in the command that made a table; "" where none is stated, or it is no plain path."""
    for key in ("source", "command"):
        words = header.get(key, "").split()
        for option, value in itertools.pairwise(words):
            if option == "--space" and _PLAIN_PATH.fullmatch(value):
                return value
    return ""


def space_in(header: Mapping[str, str], where: object, asked: str, num_classes: int) -> SearchSpace:
    """The space that is asked for, by a name of ours or of the header, or by a description's file.

    InputError where the header names it too, and it is another there: by the first key that differs.
    """
    records = records_in(header, where)
    if asked in records and space_file(asked) is None:
        space = recorded_space(records[asked], where, num_classes)
        alone = DESCRIPTION in records[asked] and len(records) == 1
        return replace(space, stated_file=_stated_file(header)) if alone else space
    space = get_space(asked, num_classes)
    if HASH in (record := records.get(space.name, {})):
        require_same(space, recorded_space(record, where, num_classes), where)
    return space
