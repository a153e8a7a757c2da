"""What a validation leaves: scores, a plot, the table's header, and lines for the user."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ofa.cli.console import spelled
from ofa.runs.files import replace_file, write_json
from ofa.tables import LatencyTable
from ofa.tables.amounts import amount, of_batch
from profilers.whole_networks.validation import Validation, to_json


def write(validation: Validation, table: LatencyTable, command: str) -> None:
    """Writes TABLE.validation.json and .png, and into the table's header where the machine was the same."""
    assert table.path is not None
    when = datetime.now(UTC)
    write_json(table.path.with_suffix(".validation.json"), to_json(validation, table, command, when))
    title = f"{table.device}, {table.header['runtime']}"
    write_plot(table.path.with_suffix(".validation.png"), title, validation, f"ms{of_batch(table.batch)}")
    if validation.measurement.same_machine:
        facts = {
            "sum_correction": f"{validation.correction} {validation.remark()}",
            "expected_error": validation.expected_error(when),
            **validation.margins(when).to_header(),
        }
        kept = table.uncorrected.header
        LatencyTable({**kept, **facts}, table.rows).save(table.path)


def report(validation: Validation, table: LatencyTable, say: Callable[[str], None]) -> int:
    """Says what was found and written; 1 if networks failed, or the machine is not as it was."""
    v, path = validation, table.path
    assert path is not None
    say_scores(v, table.batch, say)
    result = path.with_suffix(".validation.json")
    if not v.measurement.same_machine:
        say(f"wrote {result} and .png, but nothing into {path}:")
        say(
            f"single blocks take {v.measurement.machine_pct:+} % longer than in the table: something slows the machine "
            f"now, or did then. Close other programs and validate again, or measure the table anew"
        )
        return 1
    say(f"wrote {result}, .png, and the expected error into {path}")
    say(f"next: {spelled('ofa.search', '--table', path)}")
    return 1 if v.measurement.failed else 0


def say_scores(validation: Validation, batch: int, say: Callable[[str], None]) -> None:
    """The scores, beside those of plain sums and of the networks against themselves; the worst networks; the units.

    batch: how many images at once the latencies are for
    """
    v = validation
    say(f"sums, {v.correction} {v.remark()}, against the {v.scored.sum()} others:")
    plain, repeated = asdict(v.plain_scores), asdict(v.repeated)
    for key, value in asdict(v.scores).items():
        again = f", the same networks again: {repeated[key]}" if key in repeated else ""
        say(f"{key:>16} {value:>10} (plain sums: {plain[key]}{again})")
    say(f"single blocks take {v.measurement.machine_pct:+} % longer than when the table was made")
    for i in v.worst:
        subnet = v.space.decode(v.genes[i : i + 1])[0]
        took = amount(v.measured[i], "ms", batch, ".3f")
        say(f"worst: {v.predicted[i] / v.measured[i] - 1:+.1%}, {took} measured, {subnet}")
    say("sums too high, by unit (%): " + json.dumps(v.unit_errors_pct))


def write_plot(path: Path, title: str, validation: Validation, unit: str) -> None:
    """Measured against predicted latency, with 5 % on both sides."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    predicted, measured, scores = validation.predicted, validation.measured, validation.scores
    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    ends = np.array([min(predicted.min(), measured.min()), max(predicted.max(), measured.max())])
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.fill_between(ends, 0.95 * ends, 1.05 * ends, alpha=0.15, color="C0", label="within 5 %")
    axes.scatter(measured, predicted, s=8)
    axes.set_xlabel(f"measured, whole network ({unit})")
    axes.set_ylabel(f"predicted, sum of blocks ({unit})")
    axes.set_title(f"{title}\nMAPE {scores.mape_pct} %, bias {scores.bias_pct:+} %", fontsize="small")
    axes.legend()
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=130))
    plt.close(figure)
