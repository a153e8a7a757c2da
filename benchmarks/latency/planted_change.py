"""Does a regeneration see a block whose graph became slower? Runs one with exactly that.

python -m profilers.regenerate --config TOML --out DIR --accept           # once, if there is no table to compare with
python benchmarks/latency/planted_change.py --config TOML --out DIR2              # the same with one block made slower
python benchmarks/latency/planted_change.py --config TOML --out DIR2 --block "mbconv 20x20x40>240>40 k5 s1 relu se skip"

The block's written graph gets a second, cheap block of its space behind it: the profiler still believes that it
measures the block alone. Nothing of this is in the product: the profiler's process starts in a wrapper that replaces
the function that makes graphs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from unittest import mock

from ofa.blocks import Block, all_blocks
from ofa.blocks.costs import block_macs
from ofa.space import get_space
from profilers import regenerate
from profilers.changes.tables_config import load_config
from profilers.regenerate import PROFILERS

ROOT = Path(__file__).resolve().parents[2]
WRAPPER = """#!{python}
import runpy
import sys

sys.path.insert(0, {root!r})
from profilers.measuring import models
from ofa.blocks import Block

made = models.network_graph
slower = {slower!r}
models.network_graph = lambda chain, batch: made(slower if tuple(chain) == slower[:1] else chain, batch=batch)
sys.argv = sys.argv[2:]  # of "python -m profilers.cpu ..."
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def planted(blocks: tuple[Block, ...], name: str | None) -> tuple[Block, Block]:
    """The block to make slower (by default that of the median MACs with a skip), and the one to put behind it."""
    fit = [block for block in blocks if block.op == "mbconv" and block.skip]
    target = sorted(fit, key=block_macs)[len(fit) // 2]
    if name is not None:
        target = next(block for block in fit if str(block) == name)
    alike = [b for b in fit if (b.in_size, b.in_channels) == (target.in_size, target.in_channels)]
    return target, min(alike, key=block_macs)


def main(argv: list[str] | None = None) -> int:
    """0 if the regeneration named the planted block and no other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--block", help="as compare prints it; one of those with a skip")
    args = parser.parse_args(argv)
    options = load_config(args.config, PROFILERS)[0].options
    space = get_space(options.space, options.num_classes)
    target, extra = planted(all_blocks(space, options.resolutions)[: options.limit], args.block)
    print(f"planted: {target}, with {extra} behind it: {1 + block_macs(extra) / block_macs(target):.2f} times the MACs")
    with tempfile.TemporaryDirectory() as folder:
        wrapper = Path(folder) / "python"
        wrapper.write_text(
            WRAPPER.format(python=sys.executable, root=str(ROOT), slower=(target, extra)),
            encoding="utf-8",
        )
        wrapper.chmod(0o755)
        with mock.patch.object(sys, "executable", str(wrapper)):
            code = regenerate.main(["--config", str(args.config), "--out", str(args.out), "--overwrite"])
    report = (args.out / "report.md").read_text()
    named = [line.split("`")[1] for line in report.splitlines() if line.startswith("| `")]
    print(f"regenerate ended with {code} and named: {', '.join(named) or 'no block'}")
    return 0 if code == 1 and set(named) == {str(target)} else 1


if __name__ == "__main__":
    sys.exit(main())
