"""A Linux board over the system's ssh: scripts, folders of files, and agents on it.

What goes into the remote shell is a constant script of ours; names and values are quoted and reach it as $1, $2, ...
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ofa.errors import InputError
from profilers.devices.cores import core_numbers, cpu_list
from profilers.devices.identity import IDENTITY_THERE, is_told_apart
from profilers.devices.sent_files import SUMS, SentFolder, write_tar
from profilers.measuring.conversation import agent_process
from profilers.measuring.events import Event

# in the user's home, where ssh begins
BASE = ".cache/ofa-latency"
CONNECTION_FAILED = 255
HEARTBEAT_S = 2
QUIET = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=5")

IDENTITY = f'echo "identity={IDENTITY_THERE}"'
FACTS = r"""
echo "machine=$(uname -m)"
echo "allowed=$(sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status)"
cd /sys/devices/system/cpu && for file in cpu[0-9]*/cpufreq/cpuinfo_max_freq; do
    [ -r "$file" ] && echo "khz.${file%%/*}=$(cat "$file")"
done
for file in cpu[0-9]*/cpu_capacity; do [ -r "$file" ] && echo "capacity.${file%%/*}=$(cat "$file")"; done; true
"""
SPARE = 8 << 20  # bytes that stay free on the board
FREE = 'mkdir -p "$1" && stat -f -c "%a %S" "$1"'
HELD = 'cd "$1" 2>/dev/null && sha256sum -c "$2" > /dev/null 2>&1 && echo held || echo lacks'
UNPACK = (
    'rm -rf "$1" "$1.part" && mkdir -p "$1.part" && tar -xf - -C "$1.part" && '
    '(cd "$1.part" && sha256sum -c "$2" > /dev/null) && mv "$1.part" "$1"'
)
# the manifest comes by stdin; "$@" then is the command that starts the agent in its folder
RUN = (
    'base=$(cd "$1" && pwd) && cat > "$base/$3/manifest.json" && cd "$base/$2" && '
    'manifest=$base/$3/manifest.json && shift 3 && exec "$@" "$manifest"'
)


@dataclass(frozen=True)
class Facts:
    """machine: as `uname -m` says; usable: CPUs that may be pinned to

    max_khz, capacity: {CPU: its highest clock, its speed as the kernel's scheduler sees it}, if told
    identity: what tells it from other boards, "" if nothing does
    """

    machine: str
    usable: tuple[int, ...]
    max_khz: Mapping[int, int]
    capacity: Mapping[int, int] = field(default_factory=dict)
    identity: str = ""


class Board:
    """One board, by its name for ssh."""

    def __init__(self, host: str, config: Path | None) -> None:
        """host: `user@address` or a name of ~/.ssh/config; config: another file instead of that."""
        if not host or host.startswith("-") or any(c.isspace() or not c.isprintable() for c in host):
            raise InputError(f"--host is {host!r}, expected a name for ssh such as pi@raspberrypi.local")
        if config is not None and not config.is_file():
            raise InputError(f"there is no ssh configuration {config}")
        self.host, self._config = host, config

    def argv(self, script: str, *arguments: str) -> list[str]:
        """The local command that runs a script on the board."""
        config = ["-F", str(self._config)] if self._config else []
        return ["ssh", *QUIET, *config, "--", self.host, shlex.join(["sh", "-c", script, "sh", *arguments])]

    def run(self, script: str, *arguments: str, stdin: IO[bytes] | None = None) -> str:
        """What the script prints. InputError if there is no connection, or the script fails."""
        try:
            done = subprocess.run(
                self.argv(script, *arguments), stdin=stdin or subprocess.DEVNULL, capture_output=True, check=False
            )
        except FileNotFoundError:
            raise InputError("there is no ssh here: install OpenSSH's client") from None
        words = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"code {done.returncode}"])[-1][:300]
        if done.returncode == CONNECTION_FAILED:
            raise InputError(
                f"ssh cannot reach {self.host}: {words}; nothing is asked for here, so log in by a key (ssh-copy-id) "
                f"and see that this works: ssh {self.host} true"
            )
        if done.returncode != 0:
            raise InputError(f"{self.host} refuses: {words}")
        return done.stdout.decode("utf-8", "replace")

    def facts(self) -> Facts:
        answers = dict(line.partition("=")[::2] for line in self.run(IDENTITY + FACTS).splitlines())
        khz, capacity = (core_numbers(answers, name) for name in ("khz", "capacity"))
        cpus = cpu_list(answers.get("allowed", ""))
        identity = answers.get("identity", "").strip()
        return Facts(answers.get("machine", ""), cpus, khz, capacity, identity if is_told_apart(identity) else "")

    def holds(self, wanted: SentFolder) -> bool:
        """Whether the board has the folder, unharmed."""
        return self.run(HELD, f"{BASE}/{wanted.name}", SUMS).strip() == "held"

    def ensure(self, wanted: SentFolder) -> None:
        """Sees to it that the board has the folder, unharmed."""
        if not self.holds(wanted):
            with tempfile.TemporaryFile() as archive:
                write_tar(wanted, archive)
                archive.seek(0)
                self.run(UNPACK, f"{BASE}/{wanted.name}", SUMS, stdin=archive)

    def room(self) -> int:
        """Bytes that may come there: an archive is unpacked as it arrives."""
        numbers = self.run(FREE, BASE).split()
        if len(numbers) != 2 or not all(number.isdigit() for number in numbers):
            raise InputError(f"{self.host} does not report how much space is free")
        return int(numbers[0]) * int(numbers[1]) - SPARE

    def remove(self, name: str) -> None:
        """Removes one of our folders."""
        self.run('rm -rf "$1"', f"{BASE}/{name}")

    def remove_kind(self, kind: str) -> None:
        """Removes all our folders of a kind."""
        self.run('cd "$1" && for name in "$2"-*; do rm -rf "$name"; done', BASE, kind)

    def agent(
        self, bundle: str, models: str, command: Sequence[str], manifest: Mapping[str, Any], timeout_s: float
    ) -> Iterator[Event]:
        """An agent's events. bundle, models: folders of `ensure`; InputError if the connection is lost."""

        def how_it_ended(code: int) -> str:
            if code == CONNECTION_FAILED:
                raise InputError(f"the connection to {self.host} was lost: continue with --resume when it is back")
            return f"was ended by signal {code - 128}" if code > 128 else f"exited with code {code}"

        with tempfile.TemporaryFile() as text:
            text.write(json.dumps({**manifest, "heartbeat_seconds": HEARTBEAT_S}).encode())
            text.seek(0)
            argv = self.argv(RUN, BASE, bundle, models, *command)
            yield from agent_process(argv, text, timeout_s, how_it_ended)


def no_space(host: str, needed: int, room: int) -> InputError:
    free = (room + SPARE) / 1e6
    return InputError(
        f"no space left on {host}: {BASE} needs {(needed + SPARE) / 1e6:.0f} MB, {free:.0f} MB are free: delete "
        "something there"
    )
