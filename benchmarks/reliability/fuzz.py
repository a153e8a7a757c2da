"""Damages sound files of every format at random, for hours, and keeps what a reader neither takes nor refuses well.

python benchmarks/reliability/fuzz.py --minutes 60           # a find: a folder of files and why.txt
python benchmarks/reliability/fuzz.py --minutes 5 --only supernet  # one format
python benchmarks/reliability/fuzz.py --again out/fuzz/supernet-17 # reads a find once more, after a cure

The readers, what is sound of what they return, and the damages are those of the tests (tests/hostile).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.hostile.format import write  # noqa: E402
from tests.hostile.formats import FORMATS  # noqa: E402
from tests.hostile.mutations import Find, mutated, tried  # noqa: E402

SLICE_S = 2.0  # of one format, before the next has its turn: their examples differ in cost by a thousand


def keep(find: Find, seed: int, out: Path) -> Path:
    """Writes a find down."""
    folder = out / f"{find.format}-{seed}"
    write(folder / "files", find.files)
    (folder / "why.txt").write_text(find.why, encoding="utf-8", errors="backslashreplace")
    return folder


def fuzz(minutes: float, only: list[str], out: Path, seed: int) -> int:
    """How many finds there were."""
    counts, finds = dict.fromkeys(only, 0), 0
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="ofa-fuzz-") as name:
        home = Path(name)
        sound = {}
        for form in only:
            (home / form).mkdir()
            sound[form] = FORMATS[form].files(home / form)
        while time.monotonic() < end:
            for form in only:
                turn = time.monotonic() + SLICE_S
                while time.monotonic() < min(turn, end):
                    work = home / "work"
                    shutil.rmtree(work, ignore_errors=True)
                    work.mkdir()
                    find = tried(form, mutated(Random(f"{form} {seed}"), sound[form]), work)
                    if find is not None:
                        finds += 1
                        print(f"{keep(find, seed, out)}: {find.why.strip().splitlines()[-1][:200]}", flush=True)
                    counts[form] += 1
                    seed += 1
    for form, count in counts.items():
        print(f"{form:15} {count:9,}")
    print(f"{sum(counts.values()):,} inputs in {minutes:g} minutes, {finds} finds; the next seed is {seed}")
    return finds


def again(folder: Path) -> int:
    """1 if a find still is one."""
    files = {str(p.relative_to(folder / "files")): p.read_bytes() for p in (folder / "files").rglob("*") if p.is_file()}
    with tempfile.TemporaryDirectory(prefix="ofa-fuzz-") as name:
        find = tried(folder.name.rpartition("-")[0], files, Path(name))
    print(f"{folder}: {'still: ' + find.why if find else 'cured'}")
    return int(find is not None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--seed", type=int, default=0, help="of the first input; the others count on")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--again", type=Path, nargs="+")
    args = parser.parse_args()
    if args.again:
        return max(again(folder) for folder in args.again)
    return int(fuzz(args.minutes, args.only, args.out, args.seed) > 0)


if __name__ == "__main__":
    sys.exit(main())
