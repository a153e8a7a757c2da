"""What `profilers.margin` says after an occasion or a check."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ofa.cli.console import spelled
from ofa.errors import InputError
from profilers.whole_networks.occasions import Measured, Occasion, checked_words

SHOWN = (90.0, 95.0)  # per cent


def say_occasion(measured: Measured, path: Path, command: str, say: Callable[[str], None]) -> None:
    """How the networks compare with their sums, and what limits are divided by."""
    last = measured.occasions[-1]
    ratios = np.array(last.measured_ms) / [winner.predicted_ms for winner in measured.winners.all]
    say(
        f"occasion {len(measured.occasions)}: {len(ratios)} networks take {np.median(ratios):.4f} times their sums "
        f"(median; {ratios.min():.3f} to {ratios.max():.3f}), {100 * np.mean(ratios <= 1):.0f} % no longer than their "
        f"sums; controls: {last.machine_pct:+} % against the table"
    )
    say_doubtful(last, say)
    if len(measured.occasions) > 1:
        before = np.array(measured.occasions[-2].measured_ms)
        change = 100 * (np.array(last.measured_ms) / before - 1)
        say(f"against the occasion before: {np.median(change):+.2f} % (median), {np.abs(change).max():.1f} % at most")
    say(f"wrote {measured.path}")
    margins = measured.margins()
    if margins is None:
        again = command.replace(" --overwrite", "").replace(" --resume", "")
        say(f"one occasion is not enough; on another one, such as tomorrow: {again}")
        return
    for words, limit in ((f"up to {margins.split_ms:.3g} ms", margins.split_ms), ("above", math.inf)):
        for confidence in SHOWN:
            try:
                say(f"limits {words}, {confidence:g} %: divided by {margins.margin([limit], confidence)}")
            except InputError as error:
                say(f"limits {words}: {error}")
    say(f"wrote that into {path}")
    say(f"next: {spelled('ofa.search', '--table', path, '--latency', 'MS', '--confidence', 95)}")


def say_doubtful(occasion: Occasion, say: Callable[[str], None]) -> None:
    if occasion.doubtful:
        say(f"{occasion.doubtful} of them are doubtful: the machine was busy, or drifted, whenever they were measured")


def say_check(measured: Measured, path: Path, say: Callable[[str], None]) -> None:
    """How many of the last check keep their limits, and of all checks."""
    last = measured.checks[-1]
    networks = len(last.winners)
    say(
        f"{last.kept} of {networks} other networks keep limits that they were searched for with {last.confidence:g} %; "
        f"{last.within_sum} take no longer than their sums, as a limit without a margin asks for"
    )
    say_doubtful(last.occasion, say)
    say(f"the margin costs {np.mean(last.costs_top1):.3f} % top-1 on average, {max(last.costs_top1):.3f} at most")
    if len(measured.checks) > 1:
        say(f"all {len(measured.checks)} checks: {checked_words(measured.checks)}")
    say(f"wrote {measured.path}, and that into {path}")
