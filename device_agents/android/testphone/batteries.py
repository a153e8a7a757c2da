"""What a battery of the test phone shows, in the words of vendors' phones. It discharges with every look at it.

The words are those of published outputs of `dumpsys battery`; the figures are made up.
"""

from __future__ import annotations

from dataclasses import dataclass

_ANDROID = """Current Battery Service state:
  AC powered: false
  USB powered: false
  Wireless powered: false
  Dock powered: false
  Max charging current: 0
  Max charging voltage: 0
  Charge counter: {counter}
  status: 3
  health: 2
  present: true
  level: 80
  scale: 100
  voltage: MILLIVOLTS
  temperature: 290
  technology: Li-ion
"""
_SAMSUNG = """  batteryMiscEvent: 0
  batteryCurrentEvent: 0
  mSecPlugTypeSummary: 0
  LED Charging: true
  current now: -MILLIAMPERES
  charge counter: 0
  Adaptive Fast Charging Settings: true
USE_FAKE_BATTERY: false
LLB DIFF: 123
"""


@dataclass(frozen=True, kw_only=True)
class Battery:
    """says: what `dumpsys battery` prints: COUNTER stands for what is left, MILLIVOLTS and MILLIAMPERES for the rest

    tells_current: whether `cmd battery get current_now` does; idle_uah, busy_uah: what a look finds gone since the one
    before, while the phone idles, and while a network runs without a pause
    """

    says: str
    tells_current: bool = False
    idle_uah: int = 1000
    busy_uah: int = 5000


BATTERIES = {
    # most phones: no current
    "counter": Battery(says=_ANDROID.format(counter="COUNTER")),
    # Samsung: milliamperes, and no counter on some
    "samsung": Battery(says=_ANDROID.format(counter="0") + _SAMSUNG),
    # Android of 2025: microamperes by `cmd`
    "newer": Battery(says=_ANDROID.format(counter="COUNTER"), tells_current=True),
    # a tablet that tells nothing
    "silent": Battery(says=_ANDROID.format(counter="0")),
    # somebody's `dumpsys battery unplug`
    "frozen": Battery(
        says=_ANDROID.format(counter="COUNTER").replace("\n", "\n  (UPDATES STOPPED -- use 'reset' to restart)\n", 1)
    ),
}
