"""A device against its own earlier tables."""

from __future__ import annotations

from ofa.report.charts.history import history_chart
from ofa.report.inputs.histories import DeviceHistory
from ofa.report.sections.section import Figure, FigureRow, Section, joined

CAPTION = (
    "Diamonds are tables that are not like those before them. A dashed line: another runtime, system or version of "
    "this program, from which a new baseline begins."
)


def history_section(history: DeviceHistory, number: int) -> Section:
    """number: of the history, on the page"""
    nights = history.nights
    days = f"{nights[0].when:%Y-%m-%d} to {nights[-1].when:%Y-%m-%d}"
    settings = history.settings
    lines = [history.aside and f"The last table is not like those before it. {history.aside}."]
    lines += [f"{event}." for event in history.events if event != history.aside]
    return Section(
        id=f"history-{number}",
        title=f"History: {history.device}",
        short=f"History of {history.device}",
        about=joined(
            f"id {history.device_id}" if history.device_id else "",
            settings.get("runtime", ""),
            settings.get("dtype", ""),
            settings.get("space", ""),
            f"{len(nights)} tables, {days}",
        ),
        charts=(
            FigureRow(
                "",
                (
                    Figure(
                        f"level-{number}", f"Level of {history.device}, table by table", CAPTION, history_chart(history)
                    ),
                ),
            ),
        ),
        lines=tuple(line for line in lines if line) or ("No table differs from those before it.",),
    )
