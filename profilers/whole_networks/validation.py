"""Whole networks against the sums of a table: the correction that a fifth of them fit, and how the others score."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.space import Genes, SearchSpace, resolutions_in
from ofa.tables import LatencyTable
from ofa.tables.lookup import LatencyLookup
from ofa.tables.margin import Margins
from ofa.tables.sum_correction import SumCorrection
from profilers.devices.phone.words import shareable
from profilers.profiling.table_header import known
from profilers.whole_networks.choosing import Chosen
from profilers.whole_networks.measured import MeasuredNetwork, MeasuredNetworks, reasons
from profilers.whole_networks.sums.correction_fit import correction_terms, fit_correction, unit_errors
from profilers.whole_networks.sums.scores import Fifth, Repeat, SumScores, fifths, noise_pct, repeat, score
from profilers.whole_networks.validate_config import FEWEST

Floats = NDArray[np.float64]

# every fifth network, from fastest to slowest, fits the correction of the sums; the others are scored with it
FITTED = slice(2, None, 5)
# the networks that are named as predicted worst
WORST = 5


@dataclass(frozen=True)
class Validation:
    """N networks that could be measured.

    genes: (N, genes); predicted, measured: (N,) ms; scored: (N,) whether a network is scored, or fitted the correction
    scores: of corrected sums; plain_scores: of plain ones; repeated: of the networks against themselves
    fifths: of corrected sums, by size; noise_pct: how much of the variance of their errors is noise of measuring
    measurement: what the networks took, and how the machine was
    correction: of the sums; corrected: the table with it; unit_errors_pct: see profilers.whole_networks.sums
    """

    space: SearchSpace
    genes: Genes
    predicted: Floats
    measured: Floats
    scored: NDArray[np.bool_]
    scores: SumScores
    plain_scores: SumScores
    repeated: Repeat
    fifths: tuple[Fifth, ...]
    noise_pct: float | None
    measurement: MeasuredNetworks
    correction: SumCorrection
    corrected: LatencyTable
    unit_errors_pct: dict[str, float]

    @property
    def fitted_on(self) -> int:
        """How many networks fitted the correction."""
        return int((~self.scored).sum())

    @property
    def measured_networks(self) -> list[MeasuredNetwork]:
        """Those that could be measured."""
        return [network for network in self.measurement.networks if network is not None]

    @property
    def worst(self) -> list[int]:
        """The networks that are predicted worst, the worst first."""
        order = np.argsort(-np.abs(self.predicted / self.measured - 1), kind="stable")
        return [int(i) for i in order[:WORST]]

    def remark(self) -> str:
        """What the correction rests on, in words."""
        return f"(ms per MB, per block; fitted on {self.fitted_on} whole networks that are not scored)"

    def expected_error(self, when: datetime) -> str:
        """For the table's header."""
        s = self.scores
        far = f"all within {s.worst_pct} %" if s.p95_pct is None else f"95 % within {s.p95_pct} %"
        by_size = ""
        if self.fifths:
            spreads = ", ".join(f"{of.spread_pct:.1f}" for of in self.fifths)
            by_size = f"; sd of fifths, from the fastest: {spreads} %"
        return (
            f"MAPE {s.mape_pct} %, bias {s.bias_pct:+} %, {far} ({s.networks} other whole networks, {when:%Y-%m-%d}"
            f"{by_size}; noise of measuring: {known(self.noise_pct)} % of the variance; "
            f"the same networks again: {known(self.repeated.mape_pct)} %)"
        )

    @property
    def compared_ms(self) -> tuple[float, float]:
        """From which to which latency the sums were compared with whole networks, by the sums."""
        compared = self.predicted[self.scored]
        return float(compared.min()), float(compared.max())

    def margins(self, when: datetime) -> Margins:
        """For the table's header: what a confidence takes off a limit, by the networks that are scored."""
        scored = self.scored
        day = f"{when:%Y-%m-%d}"
        ran = self.predicted[scored], self.measured[scored]
        return Margins.of_random(*ran, self.space.name, day, self.corrected.sums)


def validation_of(table: LatencyTable, chosen: Chosen, measurement: MeasuredNetworks) -> Validation:
    """Judges a table by what was measured of the chosen networks; InputError if that is too little."""
    rows = [i for i, network in enumerate(measurement.networks) if network is not None]
    if len(rows) < FEWEST:
        raise InputError(f"only {len(rows)} networks could be measured: {reasons(measurement.failed)}")
    genes, space = chosen.genes[rows], chosen.space
    networks = [network for network in measurement.networks if network is not None]
    measured = np.array([network.latency_ms for network in networks])
    scored = np.ones(len(rows), dtype=bool)
    scored[FITTED] = False
    plain = table.uncorrected
    alone = plain.lookup(space, resolutions_in(genes))
    correction = correction_of(table, alone, genes[~scored], measured[~scored])
    corrected = LatencyTable({**plain.header, "sum_correction": str(correction)}, table.rows)
    predicted = corrected.latency_ms(space, genes)
    visits = [network.visits_ms for network, used in zip(networks, scored, strict=True) if used]
    return Validation(
        space=space,
        genes=genes,
        predicted=predicted,
        measured=measured,
        scored=scored,
        scores=score(predicted[scored], measured[scored]),
        plain_scores=score(alone.latency_ms(genes[scored]), measured[scored]),
        repeated=repeat([network.visits_ms for network in networks]),
        fifths=fifths(predicted[scored], measured[scored]),
        noise_pct=noise_pct(predicted[scored], visits),
        measurement=measurement,
        correction=correction,
        corrected=corrected,
        unit_errors_pct=unit_errors(corrected.lookup(space, alone.index.resolutions), genes, measured),
    )


def correction_of(table: LatencyTable, alone: LatencyLookup, genes: Genes, measured: Floats) -> SumCorrection:
    """The correction of a table's sums, of (N, genes) networks that took (N,) ms; InputError where none can be that."""
    try:
        found = fit_correction(correction_terms(alone, alone.block_ms, genes), measured)
        # the device's constant is among the plain sums, in the classifier: the fit took it times these factors
        constant = table.sum_correction.constant * found.scale * found.head
        return replace(found, constant=constant) if constant else found
    except InputError as error:
        raise InputError(f"{table.path} is not of this device as it is now: correction of its sums: {error}") from None


def to_json(validation: Validation, table: LatencyTable, command: str, when: datetime) -> dict[str, Any]:
    """Everything that was found, for a program to read. table: that was validated."""
    assert table.path is not None
    v = validation
    return {
        "table": table.path.name,
        "command": shareable(command),
        "when": when.isoformat(timespec="seconds"),
        "space": v.space.name,
        "runtime": table.header["runtime"],
        "device": table.device,
        "scores": asdict(v.scores),
        "scores_without_correction": asdict(v.plain_scores),
        "repeat": asdict(v.repeated),
        "noise_pct_of_variance": v.noise_pct,
        "fifths": [asdict(fifth) for fifth in v.fifths],
        "machine_pct": v.measurement.machine_pct,
        "blocks_pct": v.measurement.blocks_pct,
        "networks_pct": v.measurement.networks_pct,
        "visits_by_cpu_time": sum(network.by_cpu_time for network in v.measured_networks),
        "doubtful": sum(network.doubtful for network in v.measured_networks),
        "sum_correction": str(v.correction),
        "fitted_on": v.fitted_on,
        "too_high_by_unit_pct": v.unit_errors_pct,
        "networks": [
            {
                "predicted_ms": round(float(p), 6),
                "measured_ms": round(float(m), 6),
                "visits_ms": list(network.visits_ms),
                "by_cpu_time": network.by_cpu_time,
                "scored": bool(used),
                "subnet": subnet.to_dict(),
            }
            for p, m, used, subnet, network in zip(
                v.predicted, v.measured, v.scored, v.space.decode(v.genes), v.measured_networks, strict=True
            )
        ],
        "worst": v.worst,
        "failed": dict(v.measurement.failed),
    }
