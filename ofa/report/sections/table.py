"""A latency table, and whole networks beside its sums."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.priced import NetworkInNoSpace, priced_by
from ofa.report.charts.table import table_chart
from ofa.report.charts.validation import validation_chart
from ofa.report.inputs.validated import ValidationRun
from ofa.report.inputs.values import plain
from ofa.report.parts.provenance import day, error_words, header_rows, made_in_words
from ofa.report.sections.references import priced_table
from ofa.report.sections.section import Figure, FigureRow, Section, joined
from ofa.tables import LatencyTable


def table_section(
    name: str,
    table: LatencyTable,
    number: int,
    charts: tuple[FigureRow, ...],
    networks: Sequence[NetworkInNoSpace] = (),
) -> Section:
    """number: of the table, on the page; charts: of its validation; networks: in no space"""
    priced = priced_by(table, networks, table.num_classes)
    figure = Figure(
        f"blocks-{number}",
        f"Blocks of {name}",
        "Blocks that lie high for their arithmetic are slow on this device.",
        table_chart(table),
    )
    lines = [made_in_words(table.header), error_words(table.header, table)]
    if table.omits:
        lines.append(f"It leaves out {', '.join(table.omits)}: its source does not list it.")
    return Section(
        id=f"table-{number}",
        title=f"Latency table: {table.device}",
        short=f"Latency table ({name})",
        about=joined(
            f"table {name}", table.header["runtime"], f"{len(table.rows):,} blocks", f"made for {table.header['space']}"
        ),
        charts=(FigureRow("What each block takes", (figure,)), *charts),
        lines=tuple(lines),
        tables=(priced_table(priced, table.batch),) if priced else (),
        facts=tuple(header_rows(table.header)),
    )


def validation_rows(validations: Sequence[ValidationRun], name: str) -> tuple[FigureRow, ...]:
    """name: of the drawings on the page, each with a number behind it"""
    return tuple(
        FigureRow(
            "The table against whole networks",
            (
                Figure(
                    f"{name}-{i}",
                    f"Errors of the sums of {run.table}",
                    (f"{plain(run.path)}: " if len(validations) > 1 else "") + validation_words(run),
                    validation_chart(run),
                ),
            ),
        )
        for i, run in enumerate(validations)
        if run.times
    )


def validation_words(run: ValidationRun) -> str:
    """What the points say."""
    scores = run.scores
    scored, fitted = sum(of for _, _, of in run.times), sum(not of for _, _, of in run.times)
    text = f"{scored} whole networks, measured on {day(run.when)}" if run.when else f"{scored} whole networks"
    if (mape := scores.get("mape_pct")) is not None:
        text += f": sums are off by {mape:.2f} % in the mean"
    if (far := scores.get("p95_pct")) is not None:
        text += f", 95 % of them by less than {far:.2f} %"
    text += "."
    if fitted:
        text += f" {fitted} more (hollow) fitted the correction of the sums and are not counted."
    if run.noise_pct is not None:
        text += f" Noise of measuring is {run.noise_pct:.0f} % of the variance."
    return text
