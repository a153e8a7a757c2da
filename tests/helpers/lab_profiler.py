"""A profiler of a device that is made up: visits take as long as they are told, and their values follow from the seed.

usage: python -m tests.helpers.lab_profiler --out X.csv [--resume] --visits N [--visit-ms MS] [--seed K] [--moods DIR]
It ends as real ones do: 0; 2 with an error where a file DIR/gone is there, or the disk is full; 130 after SIGTERM.
Where a file DIR/half is there, it stands at half of its visits until that is there no more.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

from ofa.cli.run import run
from ofa.errors import InputError
from ofa.runs.journal import Journal

_IMPORTED = time.time()


def began_at() -> float:
    """Seconds since 1970 at which this process was started, as Linux tells; else when it was imported."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return _IMPORTED
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--visits", type=int, default=20)
    parser.add_argument("--visit-ms", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moods", type=Path, default=Path("moods"))
    parser.add_argument("--code", type=int, default=0)
    asked = parser.parse_args()
    path = asked.out.with_suffix(".journal.jsonl")
    settings = {"visits": asked.visits, "seed": asked.seed}
    journal = (Journal.resume if asked.resume and path.is_file() else Journal.create)(path, settings)
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        for number in range(len(journal.records), asked.visits):
            while number == asked.visits // 2 and (asked.moods / "half").exists():
                if (asked.moods / "gone").exists():
                    break
                time.sleep(0.01)
            if (asked.moods / "gone").exists():
                raise InputError("the phone is gone: go on by --resume")
            if (asked.moods / "full").exists():
                raise OSError(28, "No space left on device", str(path))
            time.sleep(asked.visit_ms / 1000)
            value = random.Random(f"{asked.seed} {number}").random()
            journal.append({"kind": "visit", "visit": number, "ms": value})
            if number % 10 == 0:
                left_s = (asked.visits - number - 1) * asked.visit_ms / 1000
                print(f"measured {number + 1} of {asked.visits} visits, about {left_s:.0f} s left", flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        journal.close()
    lines = [f"{record['visit']},{record['ms']}" for record in journal.records]
    # the process's whole life: what the lab adds comes on top
    print(f"lived {time.time() - began_at():.3f} s", flush=True)
    asked.out.write_text("visit,ms\n" + "\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return int(asked.code)


if __name__ == "__main__":
    run(main)
