"""What a validation leaves: scores, a plot, the table's header, and lines for the user."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from ofa.errors import InputError
from ofa.reading.amounts import amount, of_batch
from ofa.runs.files import write_json
from ofa.tables import LatencyTable
from profilers.profiling.next_step import next_step
from profilers.whole_networks.beside import BesideNetwork
from profilers.whole_networks.plot import write_plot
from profilers.whole_networks.validation import Validation, to_json


def write(validation: Validation, table: LatencyTable, command: str, beside: Sequence[BesideNetwork] = ()) -> None:
    """Writes TABLE.validation.json and .png, and into the table's header where the machine was the same.

    beside: networks of no space, which are neither scored nor fitted
    """
    assert table.path is not None
    when = datetime.now(UTC)
    content = to_json(validation, table, command, when)
    also = {"also": [one.to_dict() for one in beside]} if beside else {}
    write_json(table.path.with_suffix(".validation.json"), {**content, **also})
    scores = validation.scores
    title = f"{table.device}, {table.header['runtime']}\nMAPE {scores.mape_pct} %, bias {scores.bias_pct:+} %"
    points = {"": (validation.measured, validation.predicted)}
    write_plot(table.path.with_suffix(".validation.png"), title, points, f"ms{of_batch(table.batch)}")
    if validation.measurement.same_machine:
        facts = {
            "sum_correction": f"{validation.correction} {validation.remark()}",
            **validation.margins(when).to_header(),
        }
        now = LatencyTable.load(table.path)  # it may have been measured or edited meanwhile: that stays
        if now.sums != table.sums:
            raise InputError(
                f"{table.path} was changed while its networks were measured: nothing was written into it; validate "
                "again"
            )
        corrected = LatencyTable({**now.uncorrected.header, **facts}, now.rows)
        corrected.with_error(validation.expected_error(when), validation.compared_ms).save(table.path)


def report(validation: Validation, table: LatencyTable, say: Callable[[str], None]) -> int:
    """Says what was found and written; 1 if networks failed, or the machine is not as it was."""
    v, path = validation, table.path
    assert path is not None
    say_scores(v, table.batch, say)
    result = path.with_suffix(".validation.json")
    if not v.measurement.same_machine:
        say(f"wrote {result} and .png, but nothing into {path}:")
        say(
            f"{v.measurement.machine_words()}: something slows the machine now, or did then. Close other programs and "
            "validate again, or measure the table again"
        )
        return 1
    say(f"wrote {result}, .png, and the expected error into {path}")
    say(next_step(path))
    return 1 if v.measurement.failed else 0


def say_scores(validation: Validation, batch: int, say: Callable[[str], None]) -> None:
    """The scores, beside those of plain sums and of the networks against themselves; the worst networks; the units.

    batch: how many images at once the latencies are for
    """
    v = validation
    say(f"sums, {v.correction} {v.remark()}, against the {v.scored.sum()} others:")
    plain, repeated = asdict(v.plain_scores), asdict(v.repeated)
    for key, value in asdict(v.scores).items():
        if value is None:  # of too few networks
            continue
        again = f", the same networks again: {repeated[key]}" if key in repeated else ""
        say(f"{key:>16} {value:>10} (plain sums: {plain[key]}{again})")
    for of in v.fifths:
        size = " to ".join(amount(ms, "ms", batch, ".3f") for ms in (of.from_ms, of.to_ms))
        say(f"{size}: {of.networks} networks, bias {of.bias_pct:+} %, sd {of.spread_pct} %, worst {of.worst_pct} %")
    if v.noise_pct is not None:
        say(f"noise of measuring is {v.noise_pct:g} % of the variance of the errors; the rest is the sums'")
    if disturbed := sum(network.by_cpu_time for network in v.measured_networks):
        visits = sum(len(network.visits_ms) for network in v.measured_networks)
        say(f"{disturbed} of {visits} visits are judged by CPU time: something else ran in most of their samples")
    say(v.measurement.machine_words())
    for i in v.worst:
        subnet = v.space.decode(v.genes[i : i + 1])[0]
        took = amount(v.measured[i], "ms", batch, ".3f")
        say(f"worst: {v.predicted[i] / v.measured[i] - 1:+.1%}, {took} measured, {subnet}")
    say("sums too high, by unit (%): " + json.dumps(v.unit_errors_pct))
