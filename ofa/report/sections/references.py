"""Published networks on a device: a table of what they take, and of what the found ones gain on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ofa.priced import PricedNetwork
from ofa.published.accuracies import Recipe
from ofa.reading.amounts import of_batch
from ofa.report.inputs.references import RecipeGain, ReferenceNetwork, ReferenceRun
from ofa.report.parts.provenance import day
from ofa.report.sections.section import Section, ShownTable, figure, joined

CAPTION = (
    "Latencies were measured here, in one run with found networks. Accuracies are as published, by recipe; those of "
    "found networks are predicted. What found networks gain: faster, at equal accuracy; better, points at equal "
    "latency; ≥, at least."
)


PRICED = (
    "No whole network was measured for this: latencies are the sums of the table's blocks. Accuracies are as "
    "published, by recipe, or as the network's file states them."
)


def references_section(run: ReferenceRun, number: int) -> Section:
    """Where no search is beside them. number: of the section, on the page"""
    title = f"Published networks: {run.device or run.table}"
    about = joined(f"table {run.table}", f"measured on {day(run.when)}" if run.when else "")
    return Section(f"published-{number}", title, title, about, tables=(reference_table(run.networks),))


def reference_table(references: Sequence[ReferenceNetwork]) -> ShownTable:
    """Published networks, fastest first."""
    recipes = list(dict.fromkeys(recipe for reference in references for recipe in reference.top1))
    heads = ["network", "measured, ms"]
    for recipe in recipes:
        heads += [f"top-1, {recipe}", "faster", "better"]
    rows = []
    for reference in sorted(references, key=lambda reference: reference.latency_ms):
        error = "" if reference.error_ms is None else f" ± {1.96 * reference.error_ms:.2g}"
        row = [reference.name, f"{figure(reference.latency_ms)}{error}{'?' * reference.doubtful}"]
        for recipe in recipes:
            row.append(f"{reference.top1[recipe]:.1f}" if recipe in reference.top1 else "")
            row += _gains(reference.advantages.get(recipe))
        rows.append(tuple(row))
    return ShownTable(caption=CAPTION, heads=tuple(heads), rows=tuple(rows), title="Published networks on this device")


def priced_table(priced: Sequence[PricedNetwork], batch: int, lacking: str = "") -> ShownTable:
    """Networks in no space, by the sums of their blocks. lacking: why there is no table"""
    recipes = list(dict.fromkeys(recipe for one in priced for recipe in one.top1))
    heads = ["network", "input, px", f"sum, ms{of_batch(batch)}", "M MACs", "M params"]
    heads += [f"top-1, {recipe}" for recipe in recipes]
    rows = [
        (
            one.name,
            str(one.resolution),
            _sum_in_words(one),
            f"{one.macs_millions:.4g}",
            f"{one.params_millions:.4g}",
            *(_or_empty(one.top1, recipe) for recipe in recipes),
        )
        for one in priced
    ]
    caption = f"{PRICED} The sums are not known: {lacking}." if lacking else PRICED
    if any(one.interpolated for one in priced):
        caption += " ~: blocks are interpolated between the sizes that the table holds."
    return ShownTable(caption=caption, heads=tuple(heads), rows=tuple(rows), title="Networks in no space")


def _sum_in_words(one: PricedNetwork) -> str:
    if one.sum_ms is not None:
        return f"{'~' * one.interpolated}{figure(one.sum_ms)}"
    return f"lacks {one.missing} block{'s' * (one.missing != 1)}" if one.missing else ""


def _or_empty(top1: Mapping[Recipe, float], recipe: Recipe) -> str:
    return f"{top1[recipe]:.1f}" if recipe in top1 else ""


def _gains(gain: RecipeGain | None) -> list[str]:
    """Times faster and points better, where they are known."""
    if gain is None:
        return ["", ""]
    faster = "" if gain.faster is None else f"{'≥ ' * gain.at_least_faster}{gain.faster:.2f} ×"
    better = "" if gain.better is None else f"{'≥ ' * gain.at_least_better}{gain.better:+.1f}"
    return [faster, better]
