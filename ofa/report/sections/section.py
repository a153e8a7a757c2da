"""What a section of a page consists of; the template lays it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ofa.report.charts.theme import Spec
from ofa.report.parts.provenance import UNKNOWN
from ofa.report.parts.slider import Slider


@dataclass(frozen=True)
class Figure:
    """A drawing. id: on the page; label: for who hears the page; caption: below it"""

    id: str
    label: str
    caption: str
    spec: Spec = field(repr=False)


@dataclass(frozen=True)
class ShownTable:
    """rows: cells as text; chosen: the row that stands out, -1 for none; texts: columns that are no numbers"""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    chosen: int = -1
    texts: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class FigureRow:
    """Figures, and tables, side by side where there is room."""

    title: str
    figures: tuple[Figure, ...]
    tables: tuple[ShownTable, ...] = ()


@dataclass(frozen=True)
class LegendMark:
    """shape: of the template's `dot`; colour: of the stylesheet; words: what it marks"""

    shape: str
    colour: str
    words: str


@dataclass(frozen=True)
class LimitView:
    """What moves with the slider of a device."""

    slider: Slider
    unit: str
    legend: tuple[LegendMark, ...]
    readout: Figure
    frontier: Figure
    network: Figure
    latency: tuple[str, ...]
    accuracy: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """id: on the page; short: in the list of contents; lines: how sure it is; facts: a table's header"""

    id: str
    title: str
    short: str
    about: str
    view: LimitView | None = None
    charts: tuple[FigureRow, ...] = ()
    lines: tuple[str, ...] = ()
    tables: tuple[ShownTable, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def figures(self) -> Iterator[Figure]:
        if self.view is not None:
            yield from (self.view.readout, self.view.frontier, self.view.network)
        for row in self.charts:
            yield from row.figures


@dataclass(frozen=True)
class Headline:
    """What the page says first: On `device`: `top1` top-1 accuracy, `sure`, at `cost`, `how`. `why`."""

    device: str
    top1: str
    sure: str
    cost: str
    how: str
    why: str


def joined(*parts: str) -> str:
    """Those that say something, with dots between."""
    return " · ".join(part for part in parts if part not in UNKNOWN)


def figure(value: float) -> str:
    """Four digits, with their zeros: they stand below each other."""
    return f"{value:.0f}" if value >= 1000 else f"{value:#.4g}"


def listed(words: Sequence[str], most: int = 3) -> str:
    """ "a, b and 2 more" """
    if len(words) <= most:
        return ", ".join(words)
    return f"{', '.join(words[:most])} and {len(words) - most} more"
