"""The energy of whole networks, and a model of it that adds up over blocks: pure functions.

A block is estimated to take `watts` times its latency, plus `per_mmac` for each million of its MACs. Neither term is
below 0. Both are fitted on whole networks, by relative error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import block_macs
from ofa.errors import InputError
from ofa.tables import LatencyTable, TableRow
from profilers.energies.battery import Turn

Floats = NDArray[np.float64]
# a second term is taken where it lessens the error of networks that were left out to this share
_WORTH = 0.9
# the standard error that a sensor's steps may leave, as a share of a network's energy, in the median network
COARSEST = 0.25


@dataclass(frozen=True)
class NetworkEnergy:
    """energy_mj: of a run, the mean of its turns; error_mj: its standard error, of repeats and of the sensor's steps"""

    energy_mj: float
    error_mj: float


@dataclass(frozen=True)
class EnergyModel:
    """watts: mJ per ms; per_mmac: mJ per million MACs

    left_out: (N,) predicted / measured - 1 of each network, by a fit on the others
    """

    watts: float
    per_mmac: float
    left_out: Floats

    @property
    def mape_pct(self) -> float:
        return float(100 * np.abs(self.left_out).mean())

    @property
    def worst_pct(self) -> float:
        return float(100 * np.abs(self.left_out).max())

    def __str__(self) -> str:
        return f"{self.watts:.4g} mJ per ms + {self.per_mmac:.4g} mJ per million MACs"


def energies_of(turns: Sequence[Sequence[Turn]]) -> list[NetworkEnergy]:
    """Of every network by its turns, at least two each. Repeats are pooled: one network's few say little.

    InputError where a network seems to take no energy.
    """
    each = [np.array([turn.energy_mj for turn in of]) for of in turns]
    means = [float(energies.mean()) for energies in each]
    if min(means) <= 0:
        raise InputError(
            f"network {means.index(min(means)) + 1} took no more power than an idle device: the sensor is too coarse, "
            "or something else ran while it idled; close all apps, and measure again with more --rounds"
        )
    steps = [max(turn.resolution_mj for turn in of) for of in turns]
    coarse = float(np.median([step / mean for step, mean in zip(steps, means, strict=True)]))
    if coarse > COARSEST:
        raise InputError(
            f"the battery's figures are coarse: their steps leave an error of {coarse:.0%} of a network's energy, and "
            f"at most {COARSEST:.0%} is accepted; let each half of a turn take longer, such as --half 300"
        )
    squares = sum(float(((energies / mean - 1) ** 2).sum()) for energies, mean in zip(each, means, strict=True))
    share = math.sqrt(squares / sum(len(energies) - 1 for energies in each))
    return [
        NetworkEnergy(mean, math.hypot(mean * share / math.sqrt(len(of)), step))
        for mean, of, step in zip(means, turns, steps, strict=True)
    ]


def fit_energies(latency_ms: Floats, mmacs: Floats, energy_mj: Floats) -> EnergyModel:
    """A model of N networks: their latencies by the table, millions of MACs and energies."""
    both = np.stack([latency_ms, mmacs], axis=1) / energy_mj[:, None]
    one = both * [1.0, 0.0]
    plain, full = _left_out(one), _left_out(both)
    if np.abs(full).mean() < _WORTH * np.abs(plain).mean():
        return _model(both, full)
    return _model(one, plain)


def _model(terms: Floats, left_out: Floats) -> EnergyModel:
    watts, per_mmac = _fit(terms).tolist()
    return EnergyModel(watts, per_mmac, left_out)


def _left_out(terms: Floats) -> Floats:
    """(N,) by how much each network is off, by a fit on the others."""
    others = [np.delete(terms, i, axis=0) for i in range(len(terms))]
    return np.array([row @ _fit(rest) - 1 for row, rest in zip(terms, others, strict=True)])


def _fit(terms: Floats) -> Floats:
    """(2,) factors, none below 0, that bring (N, 2) terms nearest to 1."""
    candidates = [np.array([_alone(terms[:, 0]), 0.0]), np.array([0.0, _alone(terms[:, 1])])]
    if terms[:, 1].any():
        joint = np.linalg.lstsq(terms, np.ones(len(terms)), rcond=None)[0]
        if (joint >= 0).all():
            return joint
    return min(candidates, key=lambda factors: float(((terms @ factors - 1) ** 2).sum()))


def _alone(term: Floats) -> float:
    return float(term.sum() / (term @ term)) if term.any() else 0.0


def with_energies(table: LatencyTable, model: EnergyModel, facts: dict[str, str]) -> LatencyTable:
    """The table with an estimated energy in every row. facts: for its header"""
    blocks = [row.block for row in table.rows]
    corrected = table.sum_correction.apply(blocks, np.array([row.latency_ms for row in table.rows]))
    rows: list[TableRow] = []
    for row, ms in zip(table.rows, corrected, strict=True):
        energy = model.watts * max(0.0, float(ms)) + model.per_mmac * block_macs(row.block) / 1e6
        rows.append(TableRow(**{**vars(row), "energy_mj": round(energy, 6)}))
    kept = {key: text for key, text in table.header.items() if not key.startswith("energy_")}
    return LatencyTable({**kept, **facts}, rows, table.path)
