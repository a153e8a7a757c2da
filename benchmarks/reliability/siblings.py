"""Devices of one model, simulated: how fast a thousand tables are compared and merged, and which faults are found.

python benchmarks/reliability/siblings.py speed --devices 1000 --folder /tmp/shelf
python benchmarks/reliability/siblings.py faults --draws 200 --devices 10

A device is the shipped table of --table (461 blocks, five visits each) times

- its level: of no two chips the same. `near`: normal, 1 %. `phones`: uniform within 5 % on both sides, the 10 % that
  Srinivasa et al. found between phones of one model (Quantifying Process Variations and Its Impacts on Smartphones,
  ISPASS 2019);
- its occasion: normal, 1.7 %, as the levels of eight occasions of one machine lay apart (machine_pct of the JSON files
  in benchmarks/validations/occasions and latency_tables/epyc-vm-*.validation.json);
- a shift of each block: normal, 0.8 %, as two occasions of that machine differed beyond their visits (the table's
  commits c5fcffa and b73786b, by profilers.compare);
- the scatter of the visits: drawn, with replacement, from the block's own five in the table, less their median.

speed: writes such tables, then plans the visits of every device, reads, compares and merges. Times, and peak memory.
exchanged rows are of blocks that differ by 30 % and more.
faults: in every draw one device has a fault. Found: it is called apart. Not told: neither apart nor alike. False: other
devices that are called apart though their true level is within 5 % of the others' median. Lost: draws in which nothing
is merged. Wrong: the merged devices include the one with the fault.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ofa.blocks import all_blocks
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from profilers.changes.levels import EFFECT
from profilers.lab.siblings.agreement import agreeing, compare_all, levels_of
from profilers.lab.siblings.compared import compare_devices
from profilers.lab.siblings.merged import merged_table
from profilers.measuring.plan import make_plan

OCCASION, SHIFT, ROUNDS = 0.017, 0.008, 5
SPREADS = ("near", "phones")
FAULTS = ("none", "6 % slow", "10 % slow", "long blocks 15 % slow", "two rows exchanged", "microseconds", "noisy")


class Shelf:
    """Draws devices: (N,) base latencies, ms, and (N, K) logs of the visits about their median."""

    def __init__(self, table: LatencyTable, rng: np.random.Generator) -> None:
        self.rows = [row for row in table.rows if row.visits_ms and len(row.visits_ms) == ROUNDS]
        logs = np.log([row.visits_ms for row in self.rows])
        self.base = np.exp(np.median(logs, axis=1))
        # of five about their own median too little scatter is left
        self.scatter = (logs - np.median(logs, axis=1)[:, None]) * np.sqrt(ROUNDS / (ROUNDS - 1))
        self.rng = rng

    def levels(self, devices: int, spread: str) -> np.ndarray:
        """(D,) natural logs."""
        own = 0.01 * self.rng.standard_normal(devices) if spread == "near" else self.rng.uniform(-0.05, 0.05, devices)
        return own + OCCASION * self.rng.standard_normal(devices)

    def visits(self, levels: np.ndarray) -> np.ndarray:
        """(D, N, K) ms."""
        size = (len(levels), *self.scatter.shape)
        places = self.rng.integers(0, ROUNDS, size)
        noise = np.take_along_axis(np.broadcast_to(self.scatter, size), places, axis=2)
        shift = SHIFT * self.rng.standard_normal(size[:2])
        return self.base[:, None] * np.exp(levels[:, None, None] + shift[:, :, None] + noise)


def write_tables(shelf: Shelf, table: LatencyTable, devices: int, folder: Path) -> list[Path]:
    """A table of each device; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"device-{number:05}.csv" for number in range(devices)]
    header = {key: text for key, text in table.uncorrected.header.items() if key != "timing"}
    for number, (path, level) in enumerate(zip(paths, shelf.levels(devices, "near"), strict=True)):
        if path.exists():
            continue
        visits = np.round(shelf.visits(np.array([level]))[0], 6)
        rows = [
            replace(row, latency_ms=float(np.median(own)), visits_ms=tuple(own.tolist()), warm_ms=None)
            for row, own in zip(shelf.rows, visits, strict=True)
        ]
        LatencyTable({**header, "device_id": f"{number:016x}"}, rows).save(path)
    return paths


def speed(table: LatencyTable, paths: list[Path]) -> None:
    """Plans, reads, compares and merges, and prints seconds by the wall and of the CPU."""
    blocks = all_blocks(get_space("mbv3-w1.0"), table.resolutions)
    marks = [(time.perf_counter(), time.process_time())]

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    for number in range(len(paths)):
        make_plan([(block,) for block in blocks], ROUNDS, number)
    mark()
    found = compare_devices(paths, progress=lambda done, total: mark() if done == total else None)
    mark()
    merged = paths[0].parent / "merged.csv"
    merged_table(found, "device", "command").save(merged)
    mark()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    steps = [*zip(("plan", "read", "compare", "merge"), np.diff(marks, axis=0), strict=True)]
    steps.append(("together", np.subtract(marks[-1], marks[0])))
    shown = ", ".join(f"{name} {wall:.1f} s (CPU {cpu:.1f})" for name, (wall, cpu) in steps)
    print(
        f"{len(paths)} devices, {len(found.tables.blocks)} blocks: {shown}; peak {peak:.0f} MiB; "
        f"{len(found.agreeing)} merged, into {merged.stat().st_size / 2**20:.1f} MiB"
    )


def with_fault(visits: np.ndarray, fault: str, shelf: Shelf) -> np.ndarray:
    """(N, K) of one device."""
    base, rng = shelf.base, shelf.rng
    if fault.endswith("% slow") and fault[0].isdigit():
        return visits * (1 + float(fault.split(" ")[0]) / 100)
    if fault == "long blocks 15 % slow":
        return visits * np.where(base > np.quantile(base, 0.8), 1.15, 1.0)[:, None]
    if fault == "two rows exchanged":
        exchanged = visits.copy()
        first = second = 0
        while max(base[first], base[second]) < 1.3 * min(base[first], base[second]):  # others are no harm
            first, second = rng.choice(len(base), 2, replace=False)
        exchanged[[first, second]] = visits[[second, first]]
        return exchanged
    if fault == "microseconds":
        return visits * 1000
    if fault == "noisy":
        return visits * np.exp(0.3 * rng.standard_normal(visits.shape))
    return visits


def faults(shelf: Shelf, devices: int, draws: int, only: str | None) -> None:
    print(f"{draws} draws of {devices} devices; false, of {draws} times {devices - 1} devices")
    for spread in SPREADS:
        for fault in [only] if only else FAULTS:
            counts = dict.fromkeys(("found", "not told", "false", "lost", "wrong", "merged"), 0)
            for _ in range(draws):
                levels = shelf.levels(devices, spread)
                # the fault is what sets this device apart, not its level
                levels[0] = np.median(levels[1:])
                visits = shelf.visits(levels)
                visits[0] = with_fault(visits[0], fault, shelf)
                verdicts = compare_all(levels_of(visits))
                chosen = agreeing(verdicts)
                counts["found"] += verdicts[0].state == "differs"
                counts["not told"] += verdicts[0].state == "not told"
                counts["false"] += sum(
                    verdicts[d].state == "differs"
                    and abs(levels[d] - np.median(np.delete(levels, d))) < np.log1p(EFFECT)
                    for d in range(1, devices)
                )
                counts["lost"] += not chosen
                counts["wrong"] += 0 in chosen and fault != "none"
                counts["merged"] += len(chosen)
            shown = ", ".join(f"{name} {count}" for name, count in counts.items())
            print(f"{spread:6} {fault:22} {shown}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "faults"))
    parser.add_argument("--devices", type=int, default=10)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="tables are kept there, and taken from there")
    parser.add_argument("--fault", choices=FAULTS, help="of all, this one alone")
    parser.add_argument("--only-write", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", default="epyc-vm-tflite")
    args = parser.parse_args(argv)
    table = LatencyTable.load(find_table(args.table))
    shelf = Shelf(table, np.random.default_rng(args.seed))
    if args.what == "speed":
        with tempfile.TemporaryDirectory() as temporary:
            paths = write_tables(shelf, table, args.devices, args.folder or Path(temporary))
            if not args.only_write:
                speed(table, paths)
    else:
        faults(shelf, args.devices, args.draws, args.fault)
    return 0


if __name__ == "__main__":
    sys.exit(main())
