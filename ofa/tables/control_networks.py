"""Whole networks that a table's device took along: what they took then tells a later measurement whether it changed.

One header line: `control_networks: 128:0121...=4.512345 160:...=6.2`. Of each network its resolution, its genes, one
character a choice (0 to 9, then a to z), and milliseconds.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ofa.errors import InputError
from ofa.reading.numbers import MILLISECONDS, PIXELS, short
from ofa.space import SearchSpace, Subnet

CONTROL_NETWORKS = "control_networks"
_CHOICES = string.digits + string.ascii_lowercase
_ONE = re.compile(r"([0-9]{1,4}):([0-9a-z]+)=([0-9.e-]+)")


@dataclass(frozen=True)
class ControlNetwork:
    """A network, and what it took whole when the table was made, ms."""

    subnet: Subnet
    latency_ms: float


def control_networks(header: Mapping[str, str], name: str, space: SearchSpace) -> tuple[ControlNetwork, ...]:
    """Those of a table's header, in its order; InputError, beginning with `name`, where they are damaged."""
    where = f"{name}: header {CONTROL_NETWORKS}"
    found = []
    for text in header.get(CONTROL_NETWORKS, "").split():
        matched = _ONE.fullmatch(text)
        if not matched:
            raise InputError(f"{where}: {short(text)} is no network, such as 160:0120=5.25: take the line out")
        resolution = PIXELS.integer(f"{where}: resolution", matched[1])
        row = [resolution, *map(_CHOICES.index, matched[2])]
        choices = space.choices[1:]
        if len(row) != space.num_genes or any(i >= len(of) for i, of in zip(row[1:], choices, strict=True)):
            raise InputError(f"{where}: {short(text)} is no network of {space.name}: take the line out")
        latency = MILLISECONDS.decimal(f"{where}: {short(matched[2])}", matched[3])
        found.append(ControlNetwork(space.decode(np.array([row], dtype=np.uint16))[0], latency))
    return tuple(found)


def header_line(networks: Sequence[ControlNetwork], space: SearchSpace) -> str:
    """What a header says of them; "" where a choice has no character."""
    rows = space.encode([network.subnet for network in networks]).tolist()
    if any(choice >= len(_CHOICES) for row in rows for choice in row[1:]):
        return ""
    return " ".join(
        f"{row[0]}:{''.join(_CHOICES[choice] for choice in row[1:])}={network.latency_ms:.6f}"
        for row, network in zip(rows, networks, strict=True)
    )
