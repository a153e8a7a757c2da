"""What a phone's answers mean for its figures: a verdict each, in one line, with what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from profilers.devices.phone.facts import Phone, clusters, maybe_faster
from profilers.measuring.events import Result

# a battery below this share of its charge lowers clocks on some phones
BATTERY_PCT = 50
# a core under load that stays below this share of its highest clock is held back
CLOCK_SHARE = 0.9
# constant clocks differ by no more than this share
CONSTANT = 0.02
# bytes: agent, runtime and the models of a space
ROOM = 300 << 20
# a call of a shell that takes longer makes for a slow run, and for a bad cable or network
SLOW_CALL_MS = 200.0


@dataclass(frozen=True)
class Verdict:
    """of: what was looked at; is_good: None for what should be looked at, and spoils nothing by itself"""

    of: str
    is_good: bool | None
    finding: str
    to_do: str = ""

    @property
    def line(self) -> str:
        """Such as "LOOK  battery: 30 %: charge it"."""
        word = {True: "good", None: "LOOK", False: "BAD "}[self.is_good]
        return f"{word}  {self.of}: {self.finding}" + (f": {self.to_do}" if self.to_do else "")


def _good_or_look(of: str, is_fine: bool, finding: str, to_do: str) -> Verdict:
    return Verdict(of, True, finding) if is_fine else Verdict(of, None, finding, to_do)


def _good_or_bad(of: str, is_fine: bool, finding: str, to_do: str) -> Verdict:
    return Verdict(of, True, finding) if is_fine else Verdict(of, False, finding, to_do)


def of_connection(way: str, call_ms: float) -> Verdict:
    """call_ms: what a call of the phone's shell takes."""
    finding = f"{way}, a call takes {call_ms:.0f} ms"
    return _good_or_look("connection", call_ms < SLOW_CALL_MS, finding, "use another cable or port, or no Wi-Fi")


def of_phone(phone: Phone, cpus: Sequence[int]) -> list[Verdict]:
    """Whether it can be measured, and on which cores."""
    off = maybe_faster(phone, cpus)
    cores = f"pinned to CPU {', '.join(map(str, cpus))} of {clusters(phone) or 'cores whose clocks cannot be read'}"
    if off:
        cores += f"; CPU {', '.join(map(str, off))} cannot be used"
    pages = f", pages of {phone.page_bytes // 1024} KiB" if phone.page_bytes else ""
    name = f"{phone.name}, {phone.abi}{pages}" + (f", {phone.emulated}" if phone.emulated else "")
    return [
        _good_or_look("phone", phone.emulated is None, name, "its times mean nothing"),
        _good_or_look("cores", not off, cores, "charge the phone, turn battery saver off, and run this again"),
    ]


def of_space(free: int) -> Verdict:
    return _good_or_look("space", free >= ROOM, f"{free / 1e6:.0f} MB free", "models will go there in batches")


# what of_energy judges: the kernel's files, what newer Androids' service tells, and its words
ENERGY = """
cat /sys/class/power_supply/*/current_now 2> /dev/null | head -n 1
echo ---; cmd battery get current_now 2> /dev/null; echo ---; dumpsys battery
"""


def of_energy(answer: str) -> Verdict:
    """Whether profilers.energy can measure by the battery. answer: what ENERGY prints"""
    kernel, cmd, words = (answer.split("---", 2) + ["", ""])[:3]
    number = re.compile(r"\s*-?\d*[1-9]\d*\s*")
    if number.fullmatch(kernel):
        return Verdict("energy", True, "the kernel's files show the battery's current")
    if number.fullmatch(cmd) or re.search(r"^\s*current now: -?\d*[1-9]", words, re.MULTILINE | re.IGNORECASE):
        return Verdict("energy", True, "Android's battery service reports the battery's current")
    if re.search(r"^\s*charge counter: -?\d*[1-9]", words, re.MULTILINE | re.IGNORECASE):
        return Verdict(
            "energy", None, "the battery reports only its charge", "profilers.energy needs --half 300 or longer"
        )
    return Verdict(
        "energy", None, "the battery reports no current and no charge", "profilers.energy cannot measure here"
    )


def of_agent(
    device: Mapping[str, Any], runtime: str, asked: int, results: Sequence[Result], numerics: Verdict
) -> list[Verdict]:
    """device: what agent and host say of it; asked: visits of one block that were asked for."""
    finding = f"{runtime} starts, {len(results)} of {asked} visits of a block were made"
    agent = _good_or_bad("agent", len(results) == asked, finding, "see what it finding")
    return [agent, numerics, of_pinning(results), of_clocks(device, results), of_heat(device), *of_state(device)]


def of_numerics(off: float | None, tolerance: float, runtime: str) -> Verdict:
    """Whether a block's outputs are right.

    off: the largest difference from this computer's runtime, as a share of the largest output; None: not told
    """
    if off is None:
        return Verdict("numerics", None, "what runs the models shows no outputs", "compare an exported network's own")
    finding = f"a block's outputs differ from {runtime} here by {off:.1e} of the largest, tolerance {tolerance:g}"
    to_do = "do not deploy with this runtime: it computes something else"
    return _good_or_bad("numerics", off <= tolerance, finding, to_do)


def of_pinning(results: Sequence[Result]) -> Verdict:
    away = sum("ran on another core" in (result.watched.get("throttling") or ()) for result in results)
    finding = f"{away} of {len(results)} visits ran on another core" if away else "every visit ran where it was put"
    return _good_or_bad("pinning", not away, finding, "close apps, and choose other cores by --cpu")


def of_clocks(device: Mapping[str, Any], results: Sequence[Result]) -> Verdict:
    """Whether clocks are up under load, and held by the mode that should hold them."""
    keys = ("clock_mhz_before", "clock_mhz_after")
    clocks = [result.watched[key] for result in results for key in keys if result.watched.get(key) is not None]
    mode = f"fixed-performance mode: {device.get('fixed_performance_mode', 'not known')}"
    if not clocks:
        return _good_or_look("clocks", False, f"cannot be read; {mode}", "only the reference block shows changes")
    low, high = min(clocks), max(clocks)
    cores = {core.get("cpu"): core.get("max_mhz") or 0 for core in device.get("cores") or ()}
    fastest = max((cores.get(cpu, 0) for cpu in device.get("cpus") or ()), default=0)
    finding = f"{low:.0f} to {high:.0f} MHz under load, the core's highest is {fastest:.0f}; {mode}"
    if device.get("fixed_performance_mode") == "on":
        return _good_or_look(
            "clocks", high - low <= CONSTANT * high, finding, "the mode does not hold them: cool the phone"
        )
    return _good_or_look("clocks", low >= CLOCK_SHARE * fastest, finding, "cool the phone, turn battery saver off")


def of_heat(device: Mapping[str, Any]) -> Verdict:
    """Which sensors there are, and whether there is a gate."""
    gate, celsius = str(device.get("heat_gate")), device.get("temperature_c")
    source = device.get("temperature_source") or "no sensor that adb may read"
    finding = f"{source}, {'not known' if celsius is None else f'{celsius:g} C'}; {gate}"
    return _good_or_look("heat", not gate.startswith("off"), finding, "measure in short runs, on something cold")


def of_state(device: Mapping[str, Any]) -> list[Verdict]:
    """Screen, battery, and what lowers clocks or brings other work."""
    state = {
        key: str(device.get(key) or "not known") for key in ("screen", "battery", "battery_saver", "airplane_mode")
    }
    level = re.match(r"(\d+) %", state["battery"])
    charged = level is None or int(level[1]) >= BATTERY_PCT
    kept = "kept on" in state["screen"] and "not charging" not in state["battery"]
    return [
        _good_or_look("screen", kept, state["screen"], "plug it in, or set the longest time-out"),
        _good_or_look("battery", charged, state["battery"], f"charge it above {BATTERY_PCT} %"),
        _good_or_look("battery saver", state["battery_saver"] != "on", state["battery_saver"], "turn it off"),
        _good_or_look(
            "airplane mode", state["airplane_mode"] == "on", state["airplane_mode"], "turn it on: no calls then"
        ),
    ]
