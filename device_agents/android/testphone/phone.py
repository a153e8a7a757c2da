"""A phone to test against: a real adbd in namespaces of its own, reached on 127.0.0.1 only.

No Android: what stands in for it is marked. Times taken here mean nothing, and its `ro.boot.qemu=1`, Android's own
mark of an emulator, lets every table made here say so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from device_agents.android.testphone.batteries import Battery
from device_agents.android.testphone.moods import CALM, Mood
from device_agents.android.testphone.root import HERE, TestPhoneImpossible, root_folder

PROPERTIES = {
    "ro.product.manufacturer": "ofa-latency",
    "ro.product.model": "Test phone",
    "ro.product.device": "testphone",
    "ro.soc.model": "none",
    "ro.board.platform": "none",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.build.fingerprint": "ofa-latency/testphone/testphone:14/stand-in:userdebug/test-keys",
    "ro.boot.qemu": "1",
    "sys.boot_completed": "1",
}
DUMPSYS = {
    "battery": "Current Battery Service state:\n  AC powered: false\n  USB powered: true\n  Wireless powered: false\n"
    "  level: 80\n  scale: 100\n  temperature: 290\n",
    "power": "POWER MANAGER (dumpsys power)\n  mWakefulness=Awake\n",
    "thermalservice": "IsStatusOverride: false\nThermal Status: 0\nCached temperatures:\n"
    "\tTemperature{mValue=99.0, mType=0, mName=CPU0, mStatus=0}\nHAL Ready: true\n"
    "Current temperatures from HAL:\n\tTemperature{mValue=41.5, mType=0, mName=CPU0, mStatus=0}\n"
    "\tTemperature{mValue=30.1, mType=3, mName=SKIN, mStatus=0}\nCurrent cooling devices from HAL:\n",
}
SETTINGS = {"global.airplane_mode_on": "1", "global.low_power": "0", "global.stay_on_while_plugged_in": "2"}
# two little CPUs and a big one, as far as this machine has so many
MAX_KHZ = (1800000, 1800000, 2800000)


# a phone whose CPU sleeps switches it on where so many programs want to run, and off after so long without any
BUSY, IDLE_S = 4, 1.0


class TestPhone:
    """`with TestPhone() as phone`: booted, and gone afterwards.

    abi: arm64-v8a (under qemu) or x86_64 (native); mib: the size of /data/local/tmp; mood: which phone it stands for
    serial: what `--serial` takes; state: the folder of what the stand-ins say, and of the fake /sys
    Raises TestPhoneImpossible where namespaces are forbidden.
    """

    __test__ = False  # pytest would take it for a class of tests

    def __init__(
        self, abi: str = "arm64-v8a", mib: int = 512, port: int = 0, cache: Path | None = None, mood: Mood = CALM
    ) -> None:
        self.root = root_folder(cache) if cache else root_folder()
        self.adb = self.root / "usr/lib/android-sdk/platform-tools/adb"
        self.state = Path(tempfile.mkdtemp(prefix="ofa-test-phone-"))
        self._abi, self._mib, self._port, self._mood = abi, mib, port, mood
        self._over = threading.Event()
        self._life = threading.Thread(target=self._live, daemon=True)
        self._zone_files: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.serial = ""

    def __enter__(self) -> TestPhone:
        self._write_state()
        with socket.create_server(("127.0.0.1", self._port), backlog=16) as listening:
            port = listening.getsockname()[1]
            self.serial = f"127.0.0.1:{port}"
            qemu = str(self.root.parent / "qemu-aarch64") if self._abi.startswith("arm64") else ""
            first = self._before(qemu)
            with (self.state / "boot.log").open("wb") as log:
                self._process = subprocess.Popen(
                    ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child",
                     "sh", str(HERE / "boot.sh"), str(self.root), str(self.state), str(port),
                     str(listening.fileno()), str(self._mib), first, self._mood.cpu, qemu],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[listening.fileno()],
                    start_new_session=True,
                )  # fmt: skip
        while not (self.state / "booted").exists():
            if self._process.poll() is not None:
                words = (self.state / "boot.log").read_text().strip()
                self.__exit__(None, None, None)
                raise TestPhoneImpossible(f"the test phone does not boot on this machine: {words}")
            time.sleep(0.01)
        if self._mood.changes:
            self._life.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()  # --kill-child: process 1 of the namespace goes, and with it all others
            self._process.wait()
        self._over.set()
        if self._life.is_alive():
            self._life.join()
        while self._zone_files:
            os.close(self._zone_files.pop())
        shutil.rmtree(self.state, ignore_errors=True)

    def say(self, what: str, values: dict[str, str]) -> None:
        """What the stand-ins say from now on. what: properties, settings, or a service of dumpsys with its text."""
        _show(self.state / what, "".join(f"{name}={value}\n" for name, value in values.items()))

    def dumpsys(self, service: str, text: str) -> None:
        """What dumpsys says of a service from now on."""
        _show(self.state / "dumpsys" / service, text)

    def battery(self, battery: Battery) -> None:
        """Puts another battery in, from which the phone runs. Its kernel's files are closed."""
        self.dumpsys("battery", battery.says)
        _show(self.state / "discharges", f"idle={battery.idle_uah} busy={battery.busy_uah} left=2967000\n")
        (self.state / "current_now").unlink(missing_ok=True)
        if battery.tells_current:
            _show(self.state / "current_now", f"-{battery.idle_uah * 100}\n")

    def heat(self, celsius: float | None) -> None:
        """The temperature of the fake sensors; None: not to be read, as on many phones."""
        for zone in sorted((self.state / "sys/class/thermal").iterdir()):
            if celsius is None:
                (zone / "temp").unlink(missing_ok=True)
            else:
                _show(zone / "temp", self._shown(celsius))

    def kill_adbd(self) -> None:
        """Ends adbd and every connection to it; it is started again, as by Android's init."""
        os.kill(self.pid_of("adbd"), signal.SIGKILL)

    def pid_of(self, name: str) -> int:
        """The process of this phone whose command line has an argument that ends with /name; LookupError if none."""
        for pid in self._pids():
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(a.endswith(f"/{name}".encode()) for a in arguments[:5]) and arguments[0] != b"unshare":
                return pid
        raise LookupError(f"no process {name} on the test phone")

    def _pids(self) -> Iterator[int]:
        """Its processes, as far as they do not end while they are counted."""
        waiting = [self._process.pid] if self._process is not None else []
        while waiting:
            pid = waiting.pop()
            yield pid
            with contextlib.suppress(OSError):
                for children in Path(f"/proc/{pid}/task").glob("*/children"):
                    waiting += map(int, children.read_text().split())

    def _shown(self, celsius: float) -> str:
        """What a zone's file holds at a temperature; always as long, so that it is written in one piece."""
        return f"{round(celsius * self._mood.units):<8d}\n"

    def _live(self) -> None:
        """What changes by itself, until the phone is gone."""
        booted = busy_at = time.monotonic()
        has_sagged = False
        while not self._over.wait(0.02 if self._mood.temperature is None else 0.001):
            now = time.monotonic()
            if self._mood.temperature is not None:
                shown = self._shown(self._mood.temperature(now - booted)).encode()
                for file in self._zone_files:
                    os.pwrite(file, shown, 0)
            if self._mood.sleeps:
                running = sum(_state(pid) == "R" for pid in self._pids())
                busy_at = now if running else busy_at
                if running >= BUSY or now - busy_at > IDLE_S:
                    self.plug(running >= BUSY)
            if now - booted > self._mood.sags_after_s and not has_sagged:
                has_sagged = True
                self.sag()

    def plug(self, on: bool) -> None:
        """Switches the last CPU that this process may use on or off, as far as /sys tells."""
        cpus = self.state / "sys/devices/system/cpu"
        last = max(os.sched_getaffinity(0))
        others = [str(cpu) for cpu in range(os.cpu_count() or 1) if cpu != last or on]
        _show(cpus / "online", ",".join(others) + "\n")
        shown, hidden = cpus / f"cpu{last}/cpufreq", cpus / f"cpu{last}/off"
        if on and hidden.exists():
            hidden.rename(shown)
        elif not on and shown.exists():
            shown.rename(hidden)

    def sag(self, share: float = 0.6) -> None:
        """Cuts the clocks of all CPUs to a share of their highest."""
        for policy in (self.state / "sys/devices/system/cpu").glob("cpu*/cpufreq"):
            khz = f"{int(share * int((policy / 'cpuinfo_max_freq').read_text()))}\n"
            for file in ("scaling_max_freq", "scaling_cur_freq"):
                _show(policy / file, khz)

    def _before(self, qemu: str) -> str:
        """What starts aarch64 programs: qemu, or what first refuses those that only its small pages would take."""
        if not qemu or self._mood.page_bytes == CALM.page_bytes:
            return qemu
        program = self.state / "pages"
        subprocess.run(["cc", "-O1", "-o", program, HERE / "pages.c"], check=True)
        return str(program)

    def _write_state(self) -> None:
        (self.state / "bin").mkdir()
        for stand_in in (HERE / "system").iterdir():
            shutil.copy(stand_in, self.state / "bin")
            (self.state / "bin" / stand_in.name).chmod(0o755)
        machine = {"ro.product.cpu.abi": self._abi, "ro.product.cpu.abilist": self._abi}
        android = {"ro.build.version.release": self._mood.release, "ro.build.version.sdk": self._mood.sdk}
        self.say("properties", PROPERTIES | machine | android)
        (self.state / "page_size").write_text(f"{self._mood.page_bytes}\n")
        (self.state / "qemu").touch()  # where it is mounted
        self.say("settings", SETTINGS)
        (self.state / "fixed_performance").touch()
        (self.state / "stayon").touch()
        (self.state / "dumpsys").mkdir()
        for service, text in DUMPSYS.items():
            self.dumpsys(service, text)
        for number, kind in enumerate(self._mood.zones):
            zone = self.state / f"sys/class/thermal/thermal_zone{number}"
            zone.mkdir(parents=True)
            (zone / "type").write_text(f"{kind}\n")
        self.heat(None if self._mood.closed else 40.0)
        zones = (self.state / "sys/class/thermal").glob("*/temp")
        self._zone_files = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in zones]
        cpus = os.cpu_count() or 1
        system = self.state / "sys/devices/system/cpu"
        for number in range(cpus):
            frequency = system / f"cpu{number}" / "cpufreq"
            frequency.mkdir(parents=True)
            big = number == cpus - 1
            khz = f"{MAX_KHZ[2] if big else MAX_KHZ[0]}\n"
            (frequency / "cpuinfo_max_freq").write_text(khz)
            (frequency / "scaling_cur_freq").write_text(khz)
            (frequency / "scaling_max_freq").write_text(khz)
            (frequency / "scaling_governor").write_text("schedutil\n")
            if self._mood.capacities:
                (frequency.parent / "cpu_capacity").write_text("1024\n" if big else "350\n")
        for which in ("online", "possible", "present"):
            (system / which).write_text(f"{','.join(map(str, range(cpus)))}\n")
        if self._mood.sleeps:
            self.plug(False)


def _show(path: Path, text: str) -> None:
    """What a file holds from now on: at once, as the kernel's do, so that no reader finds it empty."""
    whole = path.with_name(f".{path.name}")
    whole.write_text(text)
    whole.replace(path)


def _state(pid: int) -> str:
    """What a process is at, R for running or waiting for a core; "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
