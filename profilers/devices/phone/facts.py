"""What a phone tells of itself, and what makes its figures trustworthy: which cores, how cool, which mode."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ofa.errors import InputError
from profilers.devices.cores import Cluster, core_numbers, cpu_list, fastest, kinds_of_cores, of_cluster
from profilers.devices.phone.adb import Adb

# Android's name of an ABI: the bundle's, which is also what `uname -m` says on such a machine
ABIS = {"arm64-v8a": "aarch64", "x86_64": "x86_64"}
# /data/local/tmp, sha256sum and stat are as we need them from Android 8 on
OLDEST_SDK = 26
SEVERE = 2  # Android's thermal status from which on clocks are cut (moderate)

FACTS = r"""
for name in ro.product.cpu.abilist ro.product.manufacturer ro.product.model ro.build.version.sdk ro.build.fingerprint \
    ro.serialno ro.boot.qemu ro.kernel.qemu; do echo "$name=$(getprop $name)"; done
echo "machine=$(uname -m)"; echo "page=$(getconf PAGE_SIZE 2> /dev/null)"
echo "allowed=$(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)"
cd /sys/devices/system/cpu
if [ "$(cat online)" != "$(cat possible)" ]; then
    # an idle phone switches cores off, the fastest first: they come back with work; of 5 s, should adb be lost now
    for _ in 1 2 3 4 5 6 7 8; do (SECONDS=0; while [ $SECONDS -lt 5 ]; do :; done) > /dev/null 2>&1 & done
    for _ in 1 2 3 4; do sleep 1; [ "$(cat online)" = "$(cat possible)" ] && break; done
fi
echo "online=$(cat online)"; echo "possible=$(cat possible)"
for file in cpu[0-9]*/cpufreq/cpuinfo_max_freq; do [ -r $file ] && echo "khz.${file%%/*}=$(cat $file)"; done
for file in cpu[0-9]*/cpu_capacity; do [ -r $file ] && echo "capacity.${file%%/*}=$(cat $file)"; done
for folder in cpu[0-9]*; do
    cpu=${folder#cpu}; taskset $(printf %x $((1 << cpu))) true 2> /dev/null && echo "pins.$cpu=1"
done
kill $(jobs -p) 2> /dev/null
"""
STATE = """
dumpsys battery; dumpsys power | grep mWakefulness=; dumpsys thermalservice
echo "airplane=$(settings get global airplane_mode_on)"; echo "low_power=$(settings get global low_power)"
"""


@dataclass(frozen=True)
class Phone:
    """The facts that decide how a phone is measured.

    abi: the bundle's; emulated: why times taken there mean nothing, or None
    max_khz: {CPU: its highest clock}, of those whose clock can be read
    usable: CPUs that are on and that programs of adb can be pinned to
    off: those that could not be woken, or are kept for others
    page_bytes: of the kernel's pages; None: not told
    capacity: {CPU: its speed as the kernel's scheduler sees it, 1024 that of the fastest}, where it is told
    identity: a hash that tells this phone from another of its model, where is_told_apart: by its serial number
    """

    name: str
    abi: str
    emulated: str | None
    max_khz: Mapping[int, int]
    usable: tuple[int, ...]
    identity: str
    off: tuple[int, ...] = ()
    capacity: Mapping[int, int] = field(default_factory=dict)
    page_bytes: int | None = None
    is_told_apart: bool = True


def facts(adb: Adb, own_agent: bool) -> Phone:
    """own_agent: the user brings agent and runtime, and so answers for the ABI. InputError for an unsupported phone."""
    return parse_facts(adb.run(FACTS).text, own_agent)


def parse_facts(text: str, own_agent: bool) -> Phone:
    properties = dict(line.partition("=")[::2] for line in text.splitlines())
    name = f"{properties.get('ro.product.manufacturer', '')} {properties.get('ro.product.model', '')}".strip()
    abis = [abi for abi in properties.get("ro.product.cpu.abilist", "").split(",") if abi]
    if not abis:
        raise InputError("this is no Android: getprop names no ABI (for boards: python -m profilers.linux)")
    supported = [ABIS[abi] for abi in abis if abi in ABIS]
    if not supported and not own_agent:
        raise InputError(
            f"{name} runs {', '.join(abis)}; the agent is for {' and '.join(ABIS)}: build it with the NDK "
            "(device_agents/android) and give it by --agent-bin, with its runtime by --agent-lib"
        )
    sdk = properties.get("ro.build.version.sdk", "")
    if sdk.isdigit() and int(sdk) < OLDEST_SDK:
        raise InputError(f"{name} has an Android of API level {sdk}, expected at least {OLDEST_SDK} (Android 8)")
    abi = supported[0] if supported else abis[0]
    online = set(cpu_list(properties.get("online", "")))
    usable = online & set(cpu_list(properties.get("allowed", "")))
    # an isolated core is on and allowed, and yet refused; where nothing can be tried, all are believed
    usable &= {int(key[5:]) for key in properties if re.fullmatch(r"pins\.\d+", key)} or usable
    khz, capacity = (core_numbers(properties, name) for name in ("khz", "capacity"))
    known_by = properties.get("ro.serialno") or properties.get("ro.build.fingerprint") or name
    return Phone(
        name=name or "unnamed phone",
        abi=abi,
        emulated=_emulated(properties, abi),
        max_khz={cpu: khz[cpu] for cpu in sorted(khz)},
        usable=tuple(sorted(usable)),
        identity=hashlib.sha256(known_by.encode()).hexdigest()[:16],
        off=tuple(sorted((online | set(cpu_list(properties.get("possible", "")))) - usable)),
        capacity=capacity,
        page_bytes=int(page) if re.fullmatch(r"[1-9]\d{3,6}", page := properties.get("page", ""), re.ASCII) else None,
        is_told_apart=bool(properties.get("ro.serialno")),
    )


def _emulated(properties: Mapping[str, str], abi: str) -> str | None:
    if "1" in (properties.get("ro.boot.qemu"), properties.get("ro.kernel.qemu")):
        return "the phone calls itself an emulator"
    if abi in ABIS.values() and properties.get("machine", abi) != abi:
        return f"{abi} programs on a {properties['machine']} machine"
    return None


def big_cores(phone: Phone, threads: int) -> list[int]:
    """The CPUs to pin to; InputError if there are fewer than threads."""
    if threads > len(phone.usable):
        raise InputError(
            f"--threads is {threads}, but programs of adb may use {len(phone.usable)} CPUs of {phone.name}"
        )
    return fastest(phone.usable, phone.max_khz, threads)


def chosen_cores(
    phone: Phone, asked: Sequence[int] | None, threads: int | None, cluster: Cluster | None = None
) -> list[int]:
    """The CPUs or the cluster asked for, or the big ones, one a thread; InputError if one is not to be had."""
    if cluster is not None:
        kinds = kinds_of_cores(phone.max_khz, phone.capacity)
        return of_cluster(cluster, kinds, phone.usable, phone.max_khz, threads, phone.name)
    if asked is None:
        return big_cores(phone, threads or 1)
    for cpu in asked:
        if cpu not in phone.usable:
            raise InputError(f"--cpu names CPU {cpu}; of {phone.name} may be used {', '.join(map(str, phone.usable))}")
    return sorted(asked)


def maybe_faster(phone: Phone, cpus: Sequence[int]) -> tuple[int, ...]:
    """The CPUs that cannot be used now, and may be faster than the slowest of these."""
    slowest = min(phone.max_khz.get(cpu, 0) for cpu in cpus)
    return tuple(cpu for cpu in phone.off if phone.max_khz.get(cpu, slowest + 1) > slowest)


def clusters(phone: Phone) -> str:
    """Such as "0-3: 1803 MHz, 4-7: 2841 MHz"; "" where no clock can be read."""
    runs: list[list[int]] = []
    for cpu, khz in phone.max_khz.items():
        if runs and phone.max_khz[runs[-1][0]] == khz and runs[-1][-1] == cpu - 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    named = ((f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}", phone.max_khz[run[0]]) for run in runs)
    return ", ".join(f"{cpus}: {khz / 1000:.0f} MHz" for cpus, khz in named)


@dataclass(frozen=True)
class State:
    """What changes while a phone is measured; None and "" where it does not tell.

    throttling: Android's thermal status, 0 none to 6 shutdown; processor_c: its hottest processor sensor
    """

    battery: str
    screen: str
    airplane: str
    saver: str
    throttling: int | None
    processor_c: float | None

    def header(self) -> dict[str, str]:
        return {
            "battery": self.battery,
            "screen": self.screen,
            "airplane_mode": self.airplane,
            "battery_saver": self.saver,
            "thermal_status": "" if self.throttling is None else str(self.throttling),
        }


def state(adb: Adb) -> State:
    return parse_state(adb.run(STATE).text)


def parse_state(text: str) -> State:
    def first(pattern: str) -> str | None:
        found = re.search(pattern, text, re.MULTILINE)
        return found[1] if found else None

    level, by = first(r"^\s*level: (\d+)"), re.findall(r"^\s*(AC|USB|Wireless|Dock) powered: true", text, re.MULTILINE)
    battery = "" if level is None else f"{level} %, {'charging by ' + ' and '.join(by) if by else 'not charging'}"
    awake = first(r"mWakefulness=(\w+)")
    # what the sensors say now, not what was last reported of a change
    current = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    processors = [float(shown) for shown in re.findall(r"mValue=(-?[\d.]+), mType=0,", current)]
    status = first(r"^\s*Thermal Status: (\d+)")
    return State(
        battery=battery,
        screen={"Awake": "on", None: ""}.get(awake, "off"),
        airplane={"1": "on", "0": "off"}.get(first(r"^airplane=(\d)") or "", ""),
        saver={"1": "on", "0": "off"}.get(first(r"^low_power=(\d)") or "", ""),
        throttling=None if status is None else int(status),
        # a sensor that shows anything else is off, or not fitted
        processor_c=max((celsius for celsius in processors if 15 <= celsius <= 110), default=None),
    )
