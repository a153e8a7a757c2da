"""What happened to a device, in words, each with its dates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ofa.errors import one_line
from profilers.lab.history.nights import NewEra, Night, moment

_NAMED = 3


def events_of(nights: Sequence[Night], eras: Sequence[NewEra]) -> tuple[str, ...]:
    """By date: other versions, drifts, changes of blocks."""
    found: list[tuple[str, str]] = [(era.when, _versions(era)) for era in eras]
    for (era, state), run in itertools.groupby(nights, key=lambda night: (night.era, night.state)):
        alike = list(run)
        if state in ("drifted", "blocks changed"):
            words = _drift(alike) if state == "drifted" else _blocks(alike)
            began = next(night for night in nights if night.era == era)
            found.append((alike[-1].when, f"{_dates(alike)}: {words}, against the tables from {began.day} on"))
    return tuple(text for _, text in sorted(found, key=lambda event: moment(event[0])))


def _versions(era: NewEra) -> str:
    changed = f", and {era.changed} blocks beside that" if era.changed else ""
    return (
        f"{era.when[:10]}: {one_line(era.versions)}: what differs from then on is no drift (all blocks "
        f"{era.level_pct:+.1f} %, standard error {era.error_pct:.2g} %{changed})"
    )


def _dates(nights: Sequence[Night]) -> str:
    first, last = nights[0].day, nights[-1].day
    return first if len(nights) == 1 else f"{first} to {last} ({len(nights)} tables)"


def _drift(nights: Sequence[Night]) -> str:
    last = nights[-1]
    most = max(nights, key=lambda night: abs(night.level_pct))
    peak = "" if most is last else f", {most.level_pct:+.1f} % at most, on {most.day}"
    blocks = f"; {len(last.changed)} blocks changed beside that" if last.changed else ""
    return f"all blocks {last.level_pct:+.1f} % (standard error {last.error_pct:.2g} %){peak}{blocks}"


def _blocks(nights: Sequence[Night]) -> str:
    last = nights[-1]
    worst = sorted(last.changed, key=lambda block: -abs(last.changed[block]))
    named = "; ".join(f"{block} {100 * last.changed[block]:+.0f} %" for block in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
    return f"{len(worst)} of {last.blocks} blocks changed ({named}{more})"
