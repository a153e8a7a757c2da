"""What a search answers: a sub-network for one device and one limit, with everything that is said of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ofa.space import Subnet

Axis = Literal["latency", "energy"]


@dataclass(frozen=True)
class Specialised:
    """The best sub-network found for one device under one limit.

    limit_ms, limit_mj: the limit of latency or energy; on a frontier, the point of its axis it was sought for
    energy_mj: None where the table does not tell
    predicted_top1, predicted_top1_std: per cent, as promised of a network that was searched for, on the scale of
        measured accuracies; the standard deviation is NaN where the predictor has none
    predictor_top1: what the predictor itself says, which is what the search maximises
    latency_interpolated: some block's latency is interpolated from other sizes
    top1_interpolated: the accuracy is interpolated from other resolutions
    regret: no network within the limits has a `predictor_top1` that is higher by more, per cent; None: not known, then
        no network that the predictor was asked about within the limits has a higher one
    ends_below: by how much less several evolutions from other beginnings ended, per cent, where the search made some
    rank: 1 for the best, then the alternatives that were asked for
    searched_ms: what was searched within, where --confidence or --sustained took something off limit_ms
    latency_sd_pct: the standard deviation of the latency's error, where an estimated table tells of each network's
    latency_checked: whether it is among the networks of whose latencies the table's error is known, by its sum; None:
        the table does not tell of which networks that is
    surely_ms: what it takes at most with the probability of --confidence, by that; None where that was not asked for
    sustained_ms: what it takes on a hot device, by the table's sustained factor; None where that was not asked for
    """

    table: str
    limit_ms: float | None
    limit_mj: float | None
    latency_ms: float
    energy_mj: float | None
    predicted_top1: float
    predicted_top1_std: float
    macs_millions: float
    params_millions: float
    latency_interpolated: bool
    top1_interpolated: bool
    subnet: Subnet
    predictor_top1: float
    regret: float | None = None
    rank: int = 1
    searched_ms: float | None = None
    sustained_ms: float | None = None
    ends_below: tuple[float, ...] = ()
    latency_sd_pct: float | None = None
    surely_ms: float | None = None
    latency_checked: bool | None = None

    def cost(self, axis: Axis) -> float:
        """Milliseconds for the axis "latency"; millijoules for "energy", NaN if not known."""
        if axis == "latency":
            return self.latency_ms
        return math.nan if self.energy_mj is None else self.energy_mj

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: plain types, null for what is not known."""
        std = None if math.isnan(self.predicted_top1_std) else round(self.predicted_top1_std, 4)
        return {
            "table": self.table,
            "limit_ms": self.limit_ms,
            "limit_mj": self.limit_mj,
            **({} if self.searched_ms is None else {"searched_ms": round(self.searched_ms, 6)}),
            "latency_ms": round(self.latency_ms, 6),
            **({} if self.latency_sd_pct is None else {"latency_sd_pct": round(self.latency_sd_pct, 3)}),
            **({} if self.surely_ms is None else {"surely_ms": math.ceil(round(self.surely_ms * 1e6, 3)) / 1e6}),
            **({} if self.sustained_ms is None else {"sustained_ms": round(self.sustained_ms, 6)}),
            "energy_mj": None if self.energy_mj is None else round(self.energy_mj, 6),
            "predicted_top1": round(self.predicted_top1, 4),
            "predicted_top1_std": std,
            "predictor_top1": round(self.predictor_top1, 4),
            # rounded up, so that nothing unproven reads 0
            "regret": None if self.regret is None else math.ceil(round(self.regret * 1e4, 6)) / 1e4,
            **({"ends_below": [round(below, 4) for below in self.ends_below]} if self.ends_below else {}),
            "rank": self.rank,
            "macs_millions": self.macs_millions,
            "params_millions": self.params_millions,
            **({} if self.latency_checked is None else {"latency_checked": self.latency_checked}),
            "latency_interpolated": self.latency_interpolated,
            "top1_interpolated": self.top1_interpolated,
            "subnet": self.subnet.to_dict(),
        }
