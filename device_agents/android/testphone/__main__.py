"""`python -m device_agents.android.testphone`: boots the test phone and holds it until Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from device_agents.android.testphone.moods import MOODS
from device_agents.android.testphone.phone import TestPhone
from device_agents.android.testphone.root import TestPhoneImpossible
from ofa.cli.command import Command
from ofa.cli.config import AtLeast, Between, Config, Option
from ofa.errors import UsageError

ENDING = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True, kw_only=True)
class TestPhoneConfig(Config):
    """Boot a stand-in phone with a real adbd on 127.0.0.1. Its times mean nothing."""

    port: Annotated[int, Between(0, 65535, "a port"), Option(metavar="N")] = 5999
    """on 127.0.0.1; 0: any that is free"""

    abi: Annotated[str, Option(metavar="A")] = "arm64-v8a"
    """arm64-v8a, emulated, or x86_64, native"""

    mib: Annotated[int, AtLeast(1), Option(metavar="N")] = 512
    """size of /data/local/tmp, MiB"""

    mood: Annotated[str, Option(metavar="M")] = "calm"
    """which phone it behaves like: calm, noisy, tenths, closed, sleepy, sagging, tensor or old"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mood not in MOODS:
            raise UsageError(f"--mood is {self.mood!r}, expected one of {', '.join(MOODS)}")


COMMAND = Command("device_agents.android.testphone", TestPhoneConfig, "--port 5999")


def main(argv: Sequence[str] | None = None) -> int:
    return hold(COMMAND.parse(argv))


def hold(config: TestPhoneConfig) -> int:
    """Boots the phone, and ends it at SIGINT or SIGTERM; 1 where there can be none, and says why."""
    try:
        with TestPhone(config.abi, config.mib, config.port, mood=MOODS[config.mood]) as phone:
            print(f"booted: python -m profilers.android --serial {phone.serial} ...; Ctrl-C ends it", flush=True)
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
            signal.sigwait(ENDING)
    except TestPhoneImpossible as reason:
        print(f"error: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
