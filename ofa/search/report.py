"""What a search shows: a table with its caveats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ofa.cli.console import spelled
from ofa.predictors.prediction import Predictor, interval_95
from ofa.reading.numbers import short
from ofa.search.confidence import Allowance
from ofa.search.specialised import Specialised
from ofa.search.sustained import sustained_in_words
from ofa.tables import LatencyTable
from ofa.tables.header import ERROR, ERROR_MS, FLOATS, INT8, NOT_STATED, KnownRange
from ofa.tables.margin import Margin, SustainedFactor
from ofa.tables.sum_correction import SumCorrection

_SAME = 0.005  # per cent, less than what is shown
# measured: docs/results/collect.md
INT8_LOSS = "on the shipped supernet 0.2 points of top-1 in the mean of 307 networks, 1.2 at worst"


def table_facts(
    table: LatencyTable, resolutions: Sequence[int], interpolated: bool, margin: Margin | Allowance | None
) -> dict[str, Any]:
    """What result.json says of a table: where its figures come from and how far to trust them."""
    facts: dict[str, Any] = {"path": str(table.path), **table.header, "resolutions": list(resolutions)}
    facts["sums"] = table.sums  # so that whoever goes on with the result sees whether rows were changed since
    if table.changed:  # what is no longer known of its sums is not handed on
        facts.pop(ERROR_MS, None)
        facts[ERROR] = "not known: rows or sum_correction were changed since it was found"
    if isinstance(margin, Allowance):
        facts["allowance"] = asdict(margin)
    elif margin is not None and table.margins is not None:
        facts["margin"] = {**asdict(margin), "networks": table.margins.networks, "rests_on": table.margins.rests_on}
    if interpolated:
        facts["interpolation_error_pct"] = table.interpolation_error_pct
    return facts


def caveats(table: LatencyTable, results: Sequence[Specialised]) -> list[str]:
    """One line for everything that keeps a figure from being a plain measurement."""
    lines = []
    if table.emulated:
        lines.append("latencies are of an EMULATED device: they mean nothing")
    if not table.pinned:
        lines.append("latencies were measured on a process that was not pinned to a CPU: cores may have taken turns")
    if table.provenance != "measured":
        lines.append(f"latencies are {table.provenance}, not measured here: {table.header['source']}")
    if table.batch > 1:
        what = "latencies, energies" if any(result.energy_mj is not None for result in results) else "latencies"
        lines.append(f"{what} and their limits are for {table.batch} images at once; in brackets: an image's share")
    if table.omits:
        lines.append(f"latencies leave out {', '.join(table.omits)}: the source of the table does not list it")
    if constant := table.sum_correction.constant:
        lines.append(f"every latency includes {constant:g} ms that an inference takes besides its blocks")
    if "sum_correction" in table.header and not (constant and table.sum_correction == SumCorrection(constant=constant)):
        lines.append(f"latencies are corrected sums of blocks: {table.header['sum_correction']}")
    if any(result.latency_interpolated for result in results):
        error = table.interpolation_error_pct
        known = "error unknown" if error is None else f"mean error of a block {error:.1f} % (leave-one-out)"
        lines.append(f"~ latency rests on blocks interpolated between measured sizes: {known}")
    if any(result.energy_mj is not None for result in results):
        counter = table.header.get("energy_counter", "its counter is not known")
        of_energy = table.header.get("energy_error_pct", "not known")
        if table.header.get("energy_provenance") == "estimated":
            lines.append(f"energies are ESTIMATED by a model of whole networks ({counter}); error in %: {of_energy}")
        else:
            lines.append(f"energies are sums of blocks ({counter}); error of a block in %: {of_energy}")
    if any(result.top1_interpolated for result in results):
        lines.append("^ accuracy is interpolated between the resolutions that the predictor knows")
    lines.append(error_in_words(table))
    if beyond := beyond_in_words(table.known_range, [(r.latency_ms, r.subnet.resolution) for r in results]):
        lines.append(beyond)
    return lines


def types_in_words(table: LatencyTable, predictor: Predictor) -> str | None:
    """What is not counted where latencies and accuracies are of networks of different types; None where they agree."""
    stated = table.header.get("dtype", NOT_STATED[0])
    table_int8, predictor_int8 = stated == INT8, predictor.dtype == INT8
    if stated not in (INT8, *FLOATS, *NOT_STATED):
        return (
            f"the table's type of networks is {short(stated)}, which is none of {', '.join((INT8, *FLOATS))}: whether "
            f"accuracies, of {predictor.dtype} networks, are of the same is not known"
        )
    if table_int8 == predictor_int8:
        return None
    if table_int8:
        return (
            "latencies are of int8 networks, accuracies of float32 ones: what int8 costs of accuracy is NOT counted "
            f"({INT8_LOSS}); {spelled('ofa.predictors.collect', '--dtype', 'int8')}, then ofa.predictors.fit, count it"
        )
    return (
        f"accuracies are of int8 networks, latencies are not ({table.header.get('dtype', 'type not stated')}): take a "
        "table of int8 (--dtype int8 of the profiler), or a predictor of float32 networks"
    )


def beyond_in_words(known: KnownRange | None, networks: Sequence[tuple[float, int]]) -> str | None:
    """How many networks are not among those that the error of a table is known of; None where all are, or nobody told.

    networks: sum, ms, and resolution of each
    """
    count = 0 if known is None else sum(not known.holds(*network) for network in networks)
    if known is None or not count:
        return None
    if known.timed:
        return (
            f"{count} of {len(networks)} networks are outside the range that was timed ({known}): the expected error "
            "does not hold for them"
        )
    are = "is" if count == 1 else "are"
    return (
        f"the table was checked on networks of {known}; {count} of {len(networks)} {are} outside: there its sums are "
        "less sure"
    )


def error_in_words(table: LatencyTable) -> str:
    """What is known of the error of a latency."""
    if table.changed:
        return (
            "expected error of a latency: not known: rows or sum_correction are not those that the header's was found "
            f"with: put them back, or measure it again ({spelled('profilers.validate', '--table', table.path)})"
        )
    if table.expected_error:
        return f"expected error of a latency: {table.expected_error}"
    return "the sums of this table were not checked against whole networks: their error is not known"


def kept_in_words(table: LatencyTable, margin: Margin | None) -> str | None:
    """How surely the limits are kept on the device; None where nobody measured that."""
    margins = table.margins
    if margins is None:
        return None
    if margin is None and margins.sums not in ("", table.sums):
        return "limits are those of sums; rows were changed since the margin in the header was measured"
    if margin is None:
        ratios = np.array(margins.fast + margins.slow)
        return (
            f"limits are those of sums: of {len(ratios)} {margins.networks} networks, {100 * np.mean(ratios > 1):.0f} "
            "% took longer than their sums when measured whole; --confidence 95 subtracts a margin"
        )
    what = "the limit is kept" if margin.limits == 1 else f"the {margin.limits} limits are all kept"
    if margin.best > 1:
        what += f" by all {margin.best} networks" + " of each" * (margin.limits > 1)
    line = f"{what} with {margin.confidence:g} %: searched within limits divided by {margin}; {margins.rests_on}"
    if checked := table.header.get("margin_checked"):
        line += f"; when that was checked, {checked}"
    if margins.networks == "random":
        line += (
            ". Those were random networks, not searched ones: a search ends where sums err in its favour; "
            f"{spelled('profilers.margin', '--table', table.path)} measures searched ones"
        )
    return line


def allowed_in_words(table: LatencyTable, allowance: Allowance | None, results: Sequence[Specialised]) -> str | None:
    """How surely an estimated table knows the networks that were found; None where it does not tell."""
    shares = [result.latency_sd_pct for result in results if result.latency_sd_pct is not None]
    if not shares or table.uncertainty is None:
        return None
    least, most = min(shares), max(shares)
    each = f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"
    if allowance is None:
        return (
            f"the estimated latencies of these networks have a standard deviation of {each} %; --confidence 95 gives "
            "each network a margin of its own by that"
        )
    margins = [100 * (r.surely_ms / r.latency_ms - 1) for r in results if r.surely_ms is not None]
    low, high = f"{min(margins):.1f}", f"{max(margins):.1f}"
    taken = low if low == high else f"{low} to {high}"
    what = "the limit is" if allowance.networks == 1 else f"the limits of all {allowance.networks} networks are"
    return (
        f"{what} kept with {allowance.confidence:g} %, by the estimate: each network's latency is within it with a "
        f"margin of its own, here {taken} % ({allowance.deviations:.2f} standard deviations of {each} %), larger for "
        f"networks unlike those that were timed; {table.uncertainty.rests_on}"
    )


def regret_in_words(results: Sequence[Specialised]) -> str:
    """How far the networks may be from the best that the predictor knows within the limits."""
    worst = [result.regret for result in results]
    if any(regret is None for regret in worst):
        line = (
            "evolved: the best is not proven; of all networks that were evaluated, these are the best "
            "within the limits, so the regret against the best known is 0"
        )
        if below := [gap for result in results for gap in result.ends_below]:
            where = f"{min(below):.2f} to {max(below):.2f} % lower (median {np.median(below):.2f})"
            if max(below) < _SAME:
                where = "at as good ones"
            line += f"; {len(results[0].ends_below)} smaller evolutions from other beginnings ended {where}"
        return line
    most = max(regret for regret in worst if regret is not None)
    if most == 0:
        others = ", nor better ones that differ so" if any(result.rank > 1 for result in results) else ""
        return f"regret 0, proven: the predictor knows no better network within the limits{others}"
    most = math.ceil(1e3 * most) / 1e3
    return f"the predictor knows no network within the limits that is better by more than {most:.3f} %"


def accuracy_caveats(predictor: Predictor) -> list[str]:
    """What the accuracies are, and how they stand to measured ones."""
    lines = [f"accuracy: {predictor.description}"]
    if predictor.stated_classes is None:
        lines.append("the predictor does not state its classes: check that they are those of your network")
    if (optimism := predictor.optimism).any():
        halves = ", ".join(f"{r} px {o / 2:.2f}" for r, o in zip(predictor.resolutions, optimism, strict=True))
        lines.append(
            f"accuracies are lowered by half of what a search overrates, in %: {halves}; the interval covers it"
        )
    elif "optimism" not in predictor.header:
        lines.append("how much a search overrates them was not measured for this predictor: expect less than shown")
    if (level := predictor.source_sd).any():
        shown = ", ".join(f"{r} px {sd:.2f}" for r, sd in zip(predictor.resolutions, level, strict=True) if sd)
        lines.append(
            f"accuracies were taken on a sample of the images; the interval covers its level, sd in %: {shown}"
        )
    if predictor.scale is not None:
        scale = predictor.scale
        lines.append(
            f"accuracies are the predictor's {scale.offset:+.2f} %, the scale of {scale.checked}; "
            f"error left there {scale.sd:.2f} %"
        )
    elif "measured accuracies" not in str(predictor.header.get("origin", {}).get("kind", "")):
        lines.append(
            "the scale of the accuracies was not checked against measured ones: compare networks by them alone"
        )
    return lines


def print_results(
    console: Console,
    name: str,
    table: LatencyTable,
    predictor: Predictor,
    results: Sequence[Specialised],
    margin: Margin | None = None,
    factor: SustainedFactor | None = None,
    allowance: Allowance | None = None,
) -> None:
    """The results of one device as a table, with provenance and caveats.

    margin, factor: what limits were divided by; allowance: what each network was given beyond its sum
    """
    shown = Table(title=f"{name}: {table.device} ({table.provenance})", title_justify="left")
    has_energy = any(r.energy_mj is not None for r in results)
    limit = "limit mJ" if any(r.limit_mj is not None for r in results) else "limit ms"
    batch = table.batch
    costs = [limit, "latency ms", *(["energy mJ"] if has_energy else [])]
    costs = [heading if batch == 1 else f"{heading}\nfor {batch} images\n(an image)" for heading in costs]
    for heading in (*costs, "top-1 %", "95 % interval", "MMACs", "Mparams", "px", "depths"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for r in results:
        known = interval_95(r.predicted_top1, r.predicted_top1_std)
        shown.add_row(
            _figure(r.limit_ms if r.limit_mj is None else r.limit_mj, batch),
            f"{'~' * r.latency_interpolated}{_figure(r.latency_ms, batch)}",
            *([_figure(r.energy_mj, batch)] if has_energy else []),
            f"{'^' * r.top1_interpolated}{r.predicted_top1:.2f}",
            "unknown" if known is None else f"{known[0]:.2f}-{known[1]:.2f}",
            f"{r.macs_millions:.0f}",
            f"{r.params_millions:.2f}",
            str(r.subnet.resolution),
            "-".join(map(str, r.subnet.depths)),
        )
    console.print(shown)
    console.print(f"  {regret_in_words(results)}", highlight=False)
    if any(r.limit_ms is not None for r in results) and (kept := kept_in_words(table, margin)):
        console.print(f"  {kept}", highlight=False)
    if any(r.limit_ms is not None for r in results) and (hot := sustained_in_words(table, factor)):
        console.print(f"  {hot}", highlight=False)
    if sure := allowed_in_words(table, allowance, results):
        console.print(f"  {sure}", highlight=False)
    for line in caveats(table, results):
        console.print(f"  {line}", highlight=False)
    if types := types_in_words(table, predictor):
        console.print(f"  {types}", highlight=False)
    for line in accuracy_caveats(predictor):
        console.print(f"  {line}", highlight=False)


def _figure(value: float | None, batch: int) -> str:
    """Two decimals, or three digits where that would be fewer: networks take less than a millisecond on a GPU.

    Of several images at once with an image's share: "30.00 (0.469)".
    """
    if value is None:
        return "unknown"
    figure = f"{value:.2f}" if value >= 1 else f"{value:.3g}"
    return figure if batch == 1 else f"{figure} ({value / batch:.3g})"
