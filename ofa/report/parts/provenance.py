"""Where the figures come from and how far to trust them, in sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date

import numpy as np

from ofa.errors import InputError
from ofa.predictors.prediction import interval_95
from ofa.report.inputs.searched import FoundNetwork
from ofa.report.parts.devices import DeviceFindings
from ofa.search.report import beyond_in_words, error_in_words
from ofa.tables import LatencyTable
from ofa.tables.header import PINNED, KnownRange

DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
# as `profilers.validate` writes it into a table
CHECKED = re.compile(
    r"MAPE (?P<mape>[0-9.]+) %, bias [^ ]+ %, (?:95 % within (?P<far>[0-9.]+) %|all within (?P<worst>[0-9.]+) %) "
    r"\((?P<networks>[0-9]+) other whole networks, (?P<when>[0-9-]+)"
)
UNKNOWN = ("not known", "not stated by the source", "")


def day(text: str) -> str:
    """ "26 November 2026" of a time as machines write it; any other text as it is."""
    match = DAY.match(text)
    if match is None:
        return text
    try:
        when = date(*map(int, match.groups()))
    except ValueError:
        return text
    return f"{when.day} {when:%B %Y}"


def latency_sentences(findings: DeviceFindings) -> list[str]:
    """How the latencies came about, how far off they are, and what was measured whole."""
    facts, table = findings.facts, findings.table
    lines = [made_in_words(facts), error_words(findings.facts, table)]
    sums = [(network.sum_ms, network.subnet.resolution) for network in findings.networks]
    if beyond := beyond_in_words(_known_range(findings), sums):
        lines.append(f"{beyond[0].upper()}{beyond[1:]}.")
    if findings.batch > 1:
        lines.append(f"Latencies and limits are for {findings.batch} images at once.")
    if omits := facts.get("omits"):
        lines.append(f"Latencies leave out {omits}: the source of the table does not list it.")
    if any(network.interpolated for network in findings.networks):
        lines.append("Some blocks are interpolated between measured sizes.")
    lines += _whole(findings)
    for limit in findings.not_kept:
        lines.append(f"No network that was measured keeps {limit:g} ms.")
    return [line for line in lines if line]


def _known_range(findings: DeviceFindings) -> KnownRange | None:
    """Of which networks the table's error is known, by the result where the table is not to be had."""
    if findings.table is not None:
        return findings.table.known_range
    with suppress(InputError):  # a damaged file's
        return KnownRange.parse(findings.facts, "")
    return None


def made_in_words(facts: Mapping[str, str]) -> str:
    """Who measured a table, when and how."""
    provenance, when = facts.get("provenance", ""), day(facts.get("when", ""))
    on = f" on {when}" if when not in UNKNOWN else ""
    if facts.get("emulated", "no") != "no":
        return "The device was emulated: its latencies mean nothing."
    if provenance == "measured":
        how = "where it stands, inside networks" if facts.get("timing") == "in place" else "alone, again and again"
        free = " The process was pinned to no CPU: cores may have taken turns." if facts.get(PINNED) == "no" else ""
        kind = "Every block, quantised to int8," if facts.get("dtype") == "int8" else "Every block"
        return f"{kind} was measured on this device{on}, {how}.{free} A network's latency is the sum of its blocks."
    if provenance == "estimated":
        return f"The table was estimated{on}, not measured: {facts.get('source', 'its source is not known')}."
    if provenance == "imported":
        return f"The table was imported, not measured here: {facts.get('source', 'its source is not known')}."
    return "Where the table comes from is not known."


def error_words(facts: Mapping[str, str], table: LatencyTable | None) -> str:
    """What is known of the error of a sum; in plain words where it is as `profilers.validate` writes it."""
    text = facts.get("expected_error", "") if table is None else table.expected_error or ""
    if match := CHECKED.match(text):
        far = "" if match["far"] is None else f", 95 % of them by less than {match['far']} %"
        far = far or ("" if match["worst"] is None else f", all of them by less than {match['worst']} %")
        return (
            f"{match['networks']} whole networks were measured to check the sums, on {day(match['when'])}: they are "
            f"off by {match['mape']} % in the mean{far}."
        )
    if table is not None:
        words = error_in_words(table)
    elif text:
        words = f"expected error of a latency: {text}"
    else:
        words = "the sums of this table were not checked against whole networks: their error is not known"
    return f"{words[0].upper()}{words[1:]}."


def error_95(findings: DeviceFindings) -> float | None:
    """Per cent that 95 % of the sums are within, as whole networks told; None where they did not."""
    table = findings.table
    text = findings.facts.get("expected_error", "") if table is None else table.expected_error or ""
    match = CHECKED.match(text)
    return None if match is None or match["far"] is None else float(match["far"])


def _whole(findings: DeviceFindings) -> list[str]:
    """Of the networks that were measured as a whole."""
    whole = {subnet: m for run in findings.runs for (table, subnet), m in run.whole.items() if table == findings.name}
    if not whole:
        return ["No network was measured as a whole: profilers.verify does that."]
    named = {network.subnet: network for network in findings.networks}
    ratios = [m.latency_ms / named[subnet].sum_ms for subnet, m in whole.items() if subnet in named]
    line = f"{len(whole)} networks were measured as a whole on the device"
    if len(whole) == 1:
        line = "One network was measured as a whole on the device"
    if len(ratios) > 1:
        line += f"; the {len(ratios)} shown took {min(ratios):.3f} to {max(ratios):.3f} of their sums"
        line += f", the median {np.median(ratios):.3f}"
    lines = [f"{line}."]
    same = {bool(run.verification.get("same_machine", True)) for run in findings.runs if run.verification}
    if False in same:
        lines.append("The machine was not as fast then as when the table was made: the latencies are of then.")
    if doubtful := sum(m.doubtful for m in whole.values()):
        lines.append(f"{doubtful} of them were measured while the machine was busy or drifted.")
    return lines


def accuracy_sentences(findings: DeviceFindings) -> list[str]:
    """What the accuracies are."""
    run = findings.runs[0]
    lines = [f"Accuracies are predicted: {run.predictor or 'the predictor is not described'}."]
    offset, checked, sd = (run.scale.get(key) for key in ("offset", "checked", "sd"))
    if isinstance(offset, int | float) and isinstance(checked, str) and isinstance(sd, int | float):
        lines.append(
            f"They are the predictor's {offset:+.2f} %, the scale of {checked}; the error left there is {sd:.2f} %."
        )
    if all(network.top1_sd is None for network in findings.networks):
        lines.append("The predictor gives no interval.")
    else:
        lines.append("Intervals are the predictor's own, 95 %.")
    if measured := [n for n in findings.networks if n.measured_top1 is not None]:
        lines.append(f"The accuracy of {len(measured)} networks was measured on images.")
    return lines


def interval(network: FoundNetwork) -> tuple[float, float] | None:
    """Of the accuracy, 95 %, per cent; None where the predictor tells none."""
    return None if network.top1_sd is None else interval_95(network.top1, network.top1_sd)


def wilson(top1: float, images: int) -> tuple[float, float]:
    """95 % interval of a share of so many images (Wilson 1927), in per cent as the share is."""
    share, z2 = top1 / 100, 1.96**2 / images
    middle = (share + z2 / 2) / (1 + z2)
    half = 1.96 * ((share * (1 - share) + z2 / 4) / images) ** 0.5 / (1 + z2)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)


def header_rows(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    """The header of a table that says something, margins as lists of figures left out."""
    long = (
        *("margin_fast", "margin_slow", "control_networks", "margin_sums", "expected_error_sums", "path"),
        *("uncertainty_terms", "uncertainty_directions", "uncertainty_sums"),
    )
    return [(key, text) for key, text in facts.items() if key not in long and text not in UNKNOWN]
