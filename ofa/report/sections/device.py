"""A device: the frontier, the slider, the network within the limit, and how sure all of it is."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.priced import NetworkInNoSpace, PricedNetwork, priced_by
from ofa.reading.amounts import of_batch
from ofa.report.charts.frontier import frontier_chart
from ofa.report.charts.network import network_chart
from ofa.report.charts.readout import readout_chart
from ofa.report.inputs.references import ReferenceNetwork
from ofa.report.inputs.searched import FoundNetwork
from ofa.report.parts.devices import DeviceFindings
from ofa.report.parts.networks import DrawnNetworks, drawn_networks
from ofa.report.parts.provenance import (
    accuracy_sentences,
    error_95,
    header_rows,
    interval,
    latency_sentences,
    wilson,
)
from ofa.report.parts.slider import slider_of
from ofa.report.sections.references import priced_table, reference_table
from ofa.report.sections.section import (
    Figure,
    FigureRow,
    Headline,
    LegendMark,
    LimitView,
    Section,
    ShownTable,
    figure,
    joined,
)


def device_section(
    findings: DeviceFindings,
    number: int,
    references: Sequence[ReferenceNetwork],
    charts: tuple[FigureRow, ...],
    networks: Sequence[NetworkInNoSpace] = (),
) -> Section:
    """number: of the device, on the page; charts: of its table's validation; networks: in no space"""
    slider, drawn = slider_of(findings, number), drawn_networks(findings)
    priced = priced_by(findings.table, networks, findings.space.num_classes)
    others = [reference_table(references)] if references else []
    others += [priced_table(priced, findings.batch, findings.lacking)] if priced else []
    facts, space = findings.facts, findings.space
    threads = facts.get("threads", "")
    view = LimitView(
        slider=slider,
        unit=findings.unit,
        legend=tuple(_legend(findings, references, priced)),
        readout=Figure(f"readout-{number}", "The network within the limit", "", readout_chart(findings, slider)),
        frontier=Figure(
            f"frontier-{number}",
            "Accuracy against what it costs",
            "Each dot is the most accurate network that was found for what it costs. Choose one by the slider, or by a "
            "click.",
            frontier_chart(findings, references, slider, priced),
        ),
        network=Figure(
            f"network-{number}",
            "Blocks of the network and their milliseconds",
            _blocks_caption(findings, drawn),
            network_chart(findings, drawn, slider),
        ),
        latency=tuple(latency_sentences(findings)),
        accuracy=tuple(accuracy_sentences(findings)),
    )
    return Section(
        id=f"device-{number}",
        title=findings.device,
        short=f"{findings.device} ({findings.name})",
        about=joined(
            f"table {findings.name}",
            facts.get("runtime", ""),
            f"{threads} thread{'s' * (threads != '1')}" if threads.isdecimal() else "",
            f"{space.name}, {space.num_classes:,} classes",
            f"{findings.batch} images at once" if findings.batch > 1 else "",
        ),
        view=view,
        charts=charts,
        tables=(_networks(findings), *others),
        facts=tuple(header_rows(facts)),
    )


def answer_of(findings: DeviceFindings) -> Headline:
    """The network that is shown first, in two sentences."""
    network = findings.networks[findings.chosen]
    between = interval(network)
    top1, sure = f"{network.top1:.1f} %", "predicted"
    if between is not None:
        sure += f" (95 %: {between[0]:.1f} to {between[1]:.1f})"
    if network.measured_top1 is not None:
        top1, sure = f"{network.measured_top1:.1f} %", "measured"
        if network.images:
            low, high = wilson(network.measured_top1, network.images)
            sure += f" on {network.images:,} images (95 %: {low:.1f} to {high:.1f})"
    of = of_batch(findings.batch)
    if findings.unit == "ms" and network.measured is not None:
        error = network.measured.error_pct
        cost, how = f"{network.measured.latency_ms:.3g} ms{of}", "measured whole"
        how += "" if error is None else f" (± {1.96 * error:.2g} %)"
    else:
        cost, how = f"{findings.cost(network):.3g} {findings.unit}{of}", "the sum of its blocks"
        provenance = findings.facts.get("provenance", "")
        if (far := error_95(findings)) is not None and findings.unit == "ms":
            how += f" (95 % of sums are within {far:g} %)"
        elif provenance in ("estimated", "imported"):
            how += f" by an {provenance} table"
    return Headline(findings.device, top1, sure, cost, how, f"It is {findings.why_chosen}.")


def _legend(
    findings: DeviceFindings, references: Sequence[ReferenceNetwork], priced: Sequence[PricedNetwork]
) -> list[LegendMark]:
    marks = [LegendMark("circle", "found", "found: predicted accuracy, sum of blocks")]
    if any(network.top1_sd is not None for network in findings.networks):
        marks.append(LegendMark("band", "found", "95 % interval"))
    if findings.line:
        marks.append(LegendMark("line", "found", "whole frontier"))
    if findings.unit == "ms" and any(network.measured is not None for network in findings.networks):
        marks.append(LegendMark("diamond", "measured", "measured whole"))
    if findings.unit != "ms":
        return marks  # the latencies of others are not on its axis
    sums = [one for one in priced if one.sum_ms is not None]
    recipes: set[str] = {recipe for reference in references for recipe in reference.top1}
    recipes |= {recipe for one in sums for recipe in one.top1}
    if "paper" in recipes:
        words = "published, measured here: by its authors" if references else "published: by its authors"
        marks.append(LegendMark("square", "reference", words))
    if recipes - {"paper"}:
        words = "timm's recipe" if recipes <= {"paper", "timm"} else "another recipe"
        marks.append(LegendMark("triangle", "reference", f"by {words}"))
    if any(one.top1 for one in sums):
        marks.append(LegendMark("dashed", "reference", "not measured: the sum of its blocks"))
    if any(not one.top1 for one in sums):
        marks.append(LegendMark("tick", "reference", "likewise, of unknown accuracy"))
    return marks


def _blocks_caption(findings: DeviceFindings, drawn: DrawnNetworks) -> str:
    text = "A dotted row is a layer that the network skips. "
    if findings.table is None:
        return f"{text}Where the milliseconds go is not known: {drawn.remark}."
    text += f"Milliseconds{of_batch(findings.batch)} are those of the table's blocks"
    text += ", with the correction of its sums." if "sum_correction" in findings.table.header else "."
    if constant := findings.table.sum_correction.constant:
        text += f" The classifier's include {constant:g} ms that every inference takes beside its blocks."
    if any(block.ms is not None and block.ms < 0 for block in drawn.blocks):
        text += " It takes more off some blocks than they take alone."
    return f"{text} Mind: {drawn.remark}." if drawn.remark else text


def _networks(findings: DeviceFindings) -> ShownTable:
    heads = [
        "limit",
        "sum, ms",
        "measured, ms",
        "energy, mJ",
        "top-1, %",
        "95 % interval",
        "measured top-1, %",
    ]
    heads += ["input, px", "depths", "M MACs", "M params"]
    rows = [_network_row(network, findings) for network in findings.networks]
    there = [i for i in range(len(heads)) if any(row[i] for row in rows)]  # a column that nobody fills is left out
    count = f"{len(rows)} network{'s' * (len(rows) != 1)}"
    more = f"; {findings.left} more are not shown" if findings.left else ""
    return ShownTable(
        caption=f"{count}{more}. The one in bold is shown first: it is {findings.why_chosen}.",
        heads=tuple(heads[i] for i in there),
        rows=tuple(tuple(row[i] for i in there) for row in rows),
        title="All networks",
        chosen=findings.chosen,
        texts=frozenset(),
    )


def _network_row(network: FoundNetwork, findings: DeviceFindings) -> tuple[str, ...]:
    whole, between = network.measured, interval(network)
    doubt = "?" if whole is not None and whole.doubtful else ""
    kept = " kept" if whole is not None and whole.keeps else ""
    limited = findings.asked or kept
    return (
        f"{network.limit:g} {findings.unit}{kept}" if network.limit is not None and limited else "",
        f"{'~' * network.interpolated}{figure(network.sum_ms)}",
        "" if whole is None else f"{figure(whole.latency_ms)}{doubt}",
        "" if network.energy_mj is None else figure(network.energy_mj),
        f"{network.top1:.2f}",
        "" if between is None else f"{between[0]:.1f} to {between[1]:.1f}",
        "" if network.measured_top1 is None else f"{network.measured_top1:.2f}",
        str(network.subnet.resolution),
        "-".join(map(str, network.subnet.depths)),
        "" if network.macs is None else f"{network.macs:.3g}",
        "" if network.params is None else f"{network.params:.3g}",
    )
