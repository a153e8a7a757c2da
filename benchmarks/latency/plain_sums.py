"""How far plain sums of blocks are from whole networks that nobody fitted: blocks and networks measured in one run.

python benchmarks/latency/plain_sums.py --runtime onnxruntime --networks 100 --rounds 3
python benchmarks/latency/plain_sums.py --space mbv3-w0.35 --resolutions 48,60,72,84,96
python benchmarks/latency/plain_sums.py --runtime tflite --phone-agent
python benchmarks/latency/plain_sums.py --runtime onnxruntime --dtype int8

The blocks of a space, the networks in which `profilers.cpu` times them in place, its whole networks, and random
networks take turns, so that a machine that changes changes all of them. Prints the errors of sums of blocks in place,
with and without those whole networks, and of blocks alone, against the random networks. --phone-agent: timed by the
agent of phones and boards, built for this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device_agents.android import bundle
from ofa.blocks import all_blocks, blocks_of
from ofa.runs.journal import Journal
from ofa.space import SearchSpace, get_space
from ofa.tables import LatencyTable, TableRow
from profilers.devices.local_cpu import cpu_target
from profilers.in_place.blocks import blocks_in_place
from profilers.in_place.carriers import carriers_of
from profilers.measuring.conversation import local_agent
from profilers.measuring.judge import Outcome
from profilers.measuring.models import DTYPES, RUNTIMES
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.run import measure_on
from profilers.measuring.statistics import summarise
from profilers.measuring.target import Target
from profilers.profiling.control_networks import chosen_networks
from profilers.whole_networks.sums.scores import fifths, noise_pct, repeat, score

HEADER = {"device": "this machine", "runtime": "any", "provenance": "measured", "source": "test"}


def report(
    space: SearchSpace, plan: VisitPlan, outcome: Outcome, blocks: int, anchors: int, genes: NDArray[np.uint16]
) -> None:
    """Prints the errors of all sums. The plan has so many blocks, so many anchors (whole networks), then the genes."""
    names = list(plan.models)
    anchored = names[blocks : blocks + anchors]
    whole = {name: summarise(results) for name, results in outcome.results.items()}
    warm = {name: whole[name] for name in names[:blocks] if name in whole}
    found, apart = blocks_in_place(outcome, warm, anchored), blocks_in_place(outcome, warm)
    assert found is not None and apart is not None, "no carrier was measured"
    random = names[blocks + anchors : blocks + anchors + len(genes)]
    rows = [i for i, name in enumerate(random) if name in whole]
    networks = [whole[random[i]] for i in rows]
    measured = np.array([network.latency_ms for network in networks])
    print(f"slowness {min(outcome.slowness):.3f} to {max(outcome.slowness):.3f}, {found.factors}")
    for what, of in (("blocks", list(warm.values())), ("networks", networks)):
        off = np.concatenate([np.array(one.visits_ms) / one.latency_ms - 1 for one in of])
        print(f"visits more than 5 % off their median: {100 * np.mean(np.abs(off) > 0.05):.1f} % of {what}")
    print(f"the same networks again: {repeat([network.visits_ms for network in networks])}")
    ways = {
        "in place": found.latency_ms,
        "in place, without whole networks": apart.latency_ms,
        "alone": {name: s.latency_ms for name, s in warm.items()},
    }
    for way, ms in ways.items():
        table = LatencyTable(
            {**HEADER, "space": space.name}, [TableRow(plan.models[name][0], value) for name, value in ms.items()]
        )
        predicted = table.latency_ms(space, genes[rows])
        visits = [network.visits_ms for network in networks]
        print(f"{way}: {score(predicted, measured)}; noise is {noise_pct(predicted, visits)} % of the variance")
        by_size = [f"{of.bias_pct:+.2f} (sd {of.spread_pct:.2f})" for of in fifths(predicted, measured)]
        print(f"  bias by size, from the fastest fifth: {', '.join(by_size)}")


def by_phone_agent(target: Target) -> Target:
    """The same machine, timed by the agent of phones and boards, which is made if it is not there."""
    native = bundle.make("x86_64")
    # the bundle's start command, where the bundle lies
    command = ["env", "-C", str(native.folder), *native.start_command]
    manifest = {**target.manifest, "backend": native.backend, **native.manifest_fields}
    return replace(target, manifest=manifest, start=lambda folder, asked: local_agent(command, folder, asked, 60.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", default="onnxruntime", choices=[*RUNTIMES])
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--space", default="mbv3-w1.0", metavar="NAME")
    parser.add_argument("--resolutions", default="128,160,192,208,224", metavar="PX,PX")
    parser.add_argument("--networks", type=int, default=100, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--phone-agent", action="store_true")
    args = parser.parse_args()
    if args.phone_agent and args.runtime != "tflite":
        parser.error("--phone-agent needs --runtime tflite")
    space = get_space(args.space)
    resolutions = tuple(int(px) for px in args.resolutions.split(","))
    blocks = [(block,) for block in all_blocks(space, resolutions)]
    genes = space.sample(np.random.default_rng(args.seed + 1), args.networks, resolutions=resolutions)
    anchors = chosen_networks(space, resolutions, args.seed)
    networks = [blocks_of(space, subnet) for subnet in (*anchors, *space.decode(genes))]
    cuts = [carrier.cut for carrier in carriers_of(space, resolutions, args.seed)]
    plan = make_plan([*blocks, *networks], args.rounds, args.seed, cut_chains=cuts)
    target = cpu_target(args.runtime, 1, 1, None, 60.0, in_place=True, dtype=args.dtype)
    if args.phone_agent:
        target = by_phone_agent(target)
    own = target.pace.in_place
    assert own is not None
    target = replace(target, manifest={**target.manifest, "parts_rules": own.parts})
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        journal = Journal.create(Path(name) / "journal.jsonl", {})

        def progress(made: int, total: int) -> None:
            if made % 100 == 0:
                print(f"{made} of {total}", file=sys.stderr, flush=True)

        try:
            outcome = measure_on(target, plan, own.blocks, args.seed, journal, Path(name), progress)
        finally:
            journal.close()
    took = time.monotonic() - started
    print(f"{args.runtime}, {args.dtype}, {space.name}, {len(genes)} networks, {args.rounds} rounds, {took:.0f} s")
    report(space, plan, outcome, len(blocks), len(anchors), genes)


if __name__ == "__main__":
    main()
