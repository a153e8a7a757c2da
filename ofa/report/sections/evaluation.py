"""An evaluation: accuracies with their intervals, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping

from ofa.report.charts.confusion import MOST_CLASSES, classes_of, confusion_chart
from ofa.report.inputs.evaluated import EvaluatedRow, EvaluationRun
from ofa.report.parts.provenance import wilson
from ofa.report.sections.section import Figure, FigureRow, Section, ShownTable, joined

MOST_DRAWN = 3  # networks whose confusion matrix is drawn
MOST_PAIRS = 12


def evaluation_section(run: EvaluationRun, number: int) -> Section:
    """number: of the evaluation, on the page"""
    drawn = [(i, row) for i, row in enumerate(run.networks) if row.confusion][:MOST_DRAWN]
    return Section(
        id=f"evaluation-{number}",
        title=f"Measured accuracy: {run.checkpoint or run.path}",
        short=f"Measured accuracy ({run.path.name})",
        about=joined(f"images {run.data}", f"split {run.split}" if run.split else "", f"{run.classes} classes"),
        charts=tuple(_confusion(row, f"confusion-{number}-{i}") for i, row in drawn),
        lines=tuple(_sure(run)),
        tables=(_accuracies(run),),
    )


def _sure(run: EvaluationRun) -> list[str]:
    lines = ["Intervals are what chance does to a share of so many images (Wilson), 95 %."]
    lines += [f"{mark[:1].upper()}{mark[1:]}." for mark in run.marks]
    if len(run.networks) > MOST_DRAWN:
        lines.append(f"Confusion matrices of the first {MOST_DRAWN} networks are shown.")
    return lines


def _accuracies(run: EvaluationRun) -> ShownTable:
    rows = []
    for row in run.networks:
        low, high = wilson(row.top1, row.images)
        worst = min(row.confusion, key=lambda true: _share(row.confusion, true), default="")
        rows.append(
            (
                row.name,
                str(row.resolution),
                f"{row.images:,}",
                f"{row.top1:.2f}",
                f"{low:.1f} to {high:.1f}",
                "" if row.predicted_top1 is None else f"{row.predicted_top1:.2f}",
                f"{worst} {100 * _share(row.confusion, worst):.1f} %" if worst else "",
            )
        )
    heads = ("network", "input, px", "images", "top-1, %", "95 % interval", "predicted, %", "worst class")
    return ShownTable(f"{len(rows)} networks", heads, tuple(rows), texts=frozenset({0, 6}))


def _share(confusion: Mapping[str, Mapping[str, int]], true: str) -> float:
    row = confusion[true]
    return row.get(true, 0) / max(1, sum(row.values()))


def _confusion(row: EvaluatedRow, id: str) -> FigureRow:
    classes = classes_of(row.confusion)
    figures: tuple[Figure, ...] = ()
    if len(classes) <= MOST_CLASSES:
        caption = "Rows are true classes. Blue: right; orange: mistakes, the stronger the more."
        figures = (Figure(id, f"Confusion matrix of {row.name}", caption, confusion_chart(row.name, row.confusion)),)
    pairs = sorted(
        ((count, true, predicted) for true, of in row.confusion.items() for predicted, count in of.items()),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    wrong = [(count, true, predicted) for count, true, predicted in pairs if true != predicted and count]
    table = ShownTable(
        caption="Mixed up most" if wrong else "No image was taken for another class",
        heads=("true class", "taken for", "images"),
        rows=tuple((true, predicted, str(count)) for count, true, predicted in wrong[:MOST_PAIRS]),
        texts=frozenset({0, 1}),
    )
    return FigureRow(f"{row.name}, {row.resolution} px: {row.top1:.2f} %", figures, (table,))
