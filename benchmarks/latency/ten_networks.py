"""An estimated table of ten networks against the full table of the same device, both scored on other whole networks.

python -m profilers.linux --host H --quick --out full.csv
python -m profilers.transfer --suggest 10 --from note10 --host H --out ten.csv
python benchmarks/latency/ten_networks.py --full full.csv --networks ten.networks.csv --host H --measured other.csv

The last command measures the other networks on the board, unless their file is there already, and scores: the full
table, its sums times one factor of the ten networks, and tables estimated from the ten with several related tables.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from ofa.cli.console import make_console
from ofa.runs.journal import Journal
from ofa.space import get_space
from ofa.tables import LatencyTable, find_table
from ofa.tables.network_times import NetworkTimes, read_networks, write_networks
from profilers.devices.access_options import AccessOptions
from profilers.devices.from_header import open_target
from profilers.estimating.estimate import estimate
from profilers.estimating.measured import RULES
from profilers.estimating.transfer_config import TransferConfig
from profilers.profiling.console import measure_shown
from profilers.whole_networks.choosing import Chosen, space_of, stratified
from profilers.whole_networks.measured import measure_networks, of_table
from profilers.whole_networks.sums.scores import score

RELATED = ("note10", "xeon-vm-tflite", None)


def measure(args: argparse.Namespace, table: LatencyTable) -> None:
    """Measures networks from the fastest to the slowest, and writes them."""
    space, resolutions = space_of(table, None, None)
    genes = stratified(table, space, resolutions, args.count, np.random.default_rng(args.seed))
    access, console = AccessOptions(host=args.host, ssh_config=args.ssh_config), make_console()
    journal = Journal.create(args.measured.with_suffix(".journal.jsonl"), {})
    shown = partial(measure_shown, journal=journal, console=console, resume="again")
    with open_target(table, access, 60.0, console.out) as target:
        found = measure_networks(
            Chosen(space, genes, ()), of_table(target, table), shown, visits=args.visits, seed=args.seed, rules=RULES
        )
    assert not found.failed, found.failed
    rows = [(space.name, subnet) for subnet in space.decode(genes)]
    latencies = [f"{network.latency_ms:.6f}" for network in found.networks if network is not None]
    write_networks(args.measured, {"device": table.device}, rows, {"latency_ms": latencies})


def predicted(table: LatencyTable, times: NetworkTimes) -> np.ndarray:
    """(N,) sums of a table, ms."""
    (name,) = {name for name, _ in times.networks}
    space = get_space(name)
    return table.latency_ms(space, space.as_genes([subnet for _, subnet in times.networks]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--full", type=Path, required=True, help="the board's measured table")
    parser.add_argument(
        "--networks", type=Path, required=True, help="the ten networks that profilers.transfer measured"
    )
    parser.add_argument(
        "--measured", type=Path, required=True, help="the other networks: read, or measured and written"
    )
    parser.add_argument("--host", help="the board")
    parser.add_argument("--ssh-config", type=Path)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--visits", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    full = LatencyTable.load(args.full)
    if not args.measured.exists():
        measure(args, full)
    ten, others = read_networks(args.networks), read_networks(args.measured)
    sums = predicted(full, others)
    factor = float(np.median(ten.latency_ms / predicted(full, ten)))
    ways = {"full table": sums, f"full table times {factor:.3f}": factor * sums}
    for related in RELATED:
        with tempfile.TemporaryDirectory() as folder:
            config = TransferConfig(networks=args.networks, from_=related, space=full.spaces, out=Path(folder, "t.csv"))
            source = LatencyTable.load(find_table(related)) if related else None
            table = estimate(config, source, "")
        ways[f"ten networks, from {related or 'none'} ({table.header['scaled_by']})"] = predicted(table, others)
        print(f"from {related or 'none'}: expected error: {table.expected_error}")
    print(f"{len(others.networks)} other networks, {others.latency_ms.min():.2f} to {others.latency_ms.max():.2f} ms")
    print(
        "| table | MAPE | bias | MAPE without bias | within 5 % | worst | Kendall tau |\n|---|---|---|---|---|---|---|"
    )
    for name, values in ways.items():
        s = score(values, others.latency_ms)
        print(
            f"| {name} | {s.mape_pct:.2f} | {s.bias_pct:+.2f} | {s.spread_pct:.2f} | {s.within_5_pct:.0f} | "
            f"{s.worst_pct:.1f} | {s.kendall_tau:.3f} |"
        )


if __name__ == "__main__":
    main()
