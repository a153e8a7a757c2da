"""How real phones behave that the calm test phone does not: each mood is one phone that somebody may own.

Reasoned from kernels, vendors' sources and other people's reports; none was copied from a phone in the hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

MILLI, TENTHS, WHOLE = 1000, 10, 1


@dataclass(frozen=True, kw_only=True)
class Mood:
    """zones: types of its thermal zones; closed: adb may not read them; units: how many of their numbers make a degree

    temperature: Celsius at so many seconds after boot, of all zones; None: what `heat` last said
    sleeps: its last CPU is off while there is little to do; sags_after_s: then its clocks are cut
    cpu: what qemu emulates; page_bytes: of its kernel's pages; release, sdk: of its Android
    capacities: whether its kernel tells what its cores can do
    """

    zones: tuple[str, ...] = ("cpu-0",)
    closed: bool = False
    units: int = MILLI
    temperature: Callable[[float], float] | None = None
    sleeps: bool = False
    sags_after_s: float = math.inf
    cpu: str = "cortex-a76"
    page_bytes: int = 4096
    release: str = "14"
    sdk: str = "34"
    capacities: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything changes by itself."""
        return self.temperature is not None or self.sleeps or math.isfinite(self.sags_after_s)


def wandering(seconds: float) -> float:
    """A sensor between 60 and 78 C: it is warm for a moment every 2 s, and a peak of a millisecond comes every 8."""
    wave = 60 + 12 * max(0.0, math.sin(math.pi * seconds)) ** 8
    return min(78.0, wave + 12) if int(1000 * seconds) % 8 == 0 else wave


CALM = Mood()
MOODS = {
    "calm": CALM,
    "noisy": Mood(temperature=wandering),
    # msm8998: tenths of a degree, and zones of the battery beside those of the processor
    "tenths": Mood(zones=("battery", "tsens_tz_sensor1", "tsens_tz_sensor7", "soc"), units=TENTHS),
    "closed": Mood(closed=True),
    # a 2021 Exynos: the prime core is unplugged while the phone idles
    "sleepy": Mood(zones=("BIG", "MID", "LITTLE"), sleeps=True),
    "sagging": Mood(sags_after_s=90),
    # a 2024 Tensor whose owner chose 16 KB pages
    "tensor": Mood(zones=("BIG", "MID", "LITTLE", "TPU"), page_bytes=16384, release="15", sdk="35", capacities=True),
    # cores of before 2018 cannot compute in float16
    "old": Mood(cpu="cortex-a72"),
}
