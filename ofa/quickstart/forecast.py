"""What a run says before it begins, if it takes longer than it may: by how much, and what would make it shorter."""

from __future__ import annotations

import math

from ofa.quickstart.photos import PhotoCounts
from ofa.quickstart.plan import FEWER_IMAGES, STARTS, TRIED_TRAIN_S, QuickstartPlan, estimates
from ofa.quickstart.speed import Speed

SLOW = 1.5  # times as slow as the machine on which this was tried: other programs run, or it is an old one
SHARE = 0.15  # of the time, from which on a cause is named


def forecast(plan: QuickstartPlan, photos: PhotoCounts, speed: Speed, minutes: float) -> tuple[str, ...]:
    """A warning and the ways to a shorter run; () if the plan fits into the minutes."""
    total = sum(estimates(plan, photos, speed).values())
    if total <= minutes * 60:
        return ()
    return (
        f"warning: this takes about {math.ceil(total / 60)} min on this machine, more than --minutes {minutes:g}, "
        "although all sizes are the smallest",
        f"it is shorter {', or '.join(_ways(plan, photos, speed, total))}; Ctrl-C stops it, and --resume continues it",
    )


def _ways(plan: QuickstartPlan, photos: PhotoCounts, speed: Speed, total: float) -> list[str]:
    """What would help, by what takes long."""
    ways = []
    slow = speed.train_s / TRIED_TRAIN_S
    if slow > SLOW or speed.start_s * sum(STARTS.values()) > SHARE * total:
        how = f"{slow:.{0 if slow >= 10 else 1}f}"
        times = f" (it is {how} times as slow as the one on which this was tried)" if slow > SLOW else ""
        ways.append(f"if nothing else runs on this machine{times}")
    read = plan.trained(photos) + photos.held_out + 3 * plan.images
    if read * speed.decode_s > SHARE * total:
        ways.append(f"with smaller copies of the photographs (reading one takes {1000 * speed.decode_s:.0f} ms)")
    if plan.trained(photos) > FEWER_IMAGES or photos.held_out * speed.decode_s > SHARE * total:
        ways.append("with fewer photographs")
    return ways or ["on a faster machine"]
