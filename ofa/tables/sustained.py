"""The sustained factor: how many times as long as in short visits a network took that had run for minutes.

A table is of short visits. `python -m profilers.verify --sustained 10m --record` runs one network on the table's device
for minutes, and writes into the header by how much it slowed. A search within limit / factor then keeps the limit on a
hot device, as far as other networks slow as that one did.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ofa.errors import InputError
from ofa.reading.numbers import Bounds

SUSTAINED = "sustained_"  # what header keys of it begin with
FACTOR = Bounds(1, 100, "times")
ERROR_OF_FACTOR = Bounds(0, 100, "times")
_FACTOR, _ERROR, _NETWORK = "sustained_factor", "sustained_error", "sustained_network"
_RESTS_ON, _SUMS = "sustained_rests_on", "sustained_sums"
SUSTAINED_KEYS = (_FACTOR, _ERROR, _NETWORK, _RESTS_ON, _SUMS)


@dataclass(frozen=True)
class SustainedFactor:
    """factor: latency after minutes over that of short visits, at least 1; error: its standard error

    network: that ran, as `ofa.tables.control_networks` writes one, with its latency in short visits
    rests_on: how and when it ran, in words
    sums: of the table then (`LatencyTable.sums`), the only one that it holds for
    """

    factor: float
    error: float
    network: str
    rests_on: str
    sums: str

    @classmethod
    def parse(cls, header: Mapping[str, str], name: str) -> SustainedFactor | None:
        """Of a table's header; None where it has none. InputError, beginning with `name`, where it is damaged."""
        there = [key for key in SUSTAINED_KEYS if key in header]
        if not there:
            return None
        if lacking := [key for key in SUSTAINED_KEYS if not header.get(key)]:
            raise InputError(f"{name}: header has {there[0]}, but no {lacking[0]}: put that line back, or take all out")
        return cls(
            FACTOR.decimal(f"{name}: header {_FACTOR}", header[_FACTOR]),
            ERROR_OF_FACTOR.decimal(f"{name}: header {_ERROR}", header[_ERROR]),
            *(header[key] for key in (_NETWORK, _RESTS_ON, _SUMS)),
        )

    def to_header(self) -> dict[str, str]:
        """The lines of a table's header."""
        values = (f"{self.factor:.4f}", f"{self.error:.4f}", self.network, self.rests_on, self.sums)
        return dict(zip(SUSTAINED_KEYS, values, strict=True))

    def less(self, limits_ms: Sequence[float]) -> list[float]:
        """The limits to search within, so that these are kept on a hot device: whole nanoseconds, as sums are."""
        return [math.floor(limit / self.factor * 1e6) / 1e6 for limit in limits_ms]

    def __str__(self) -> str:
        return f"{self.factor:.4g} (standard error {self.error:.2g}; {self.rests_on})"
