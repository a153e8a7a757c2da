"""Search, table look-ups and predictions: how fast and how good, beside the original implementation.

First the exact search by the shipped predictor of width 1.0 on a Xeon's table; then MIT's predictor, which does not add
up. What the original's evolution takes is compared with both: with the exact search of as large a space, and
with ours by the same predictor and table.

    python benchmarks/search/search.py --figures FOLDER                       # ours alone
    python benchmarks/search/search.py --figures FOLDER --reference PACKAGES  # and the original, taking turns

FOLDER holds MIT's published `predictors/acc_predictor.pth` and `tables/note10/*.yaml`; PACKAGES the package `ofa` of
PyPI, unpacked (see benchmarks/README.md). Both searches use that predictor and the Note10 latencies, over MobileNetV3
of width 1.2 at 160-224 px. Every process is held to one core and one thread, but for throughputs on all cores.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMITS_MS = (15, 20, 25, 30)
PARTS = ("exact", "limits", "throughput")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def ours(figures: Path, task: str) -> Any:
    """Answers one task: a search (limit, seed), or the throughput of table or predictor."""
    import numpy as np

    from ofa.predictors.accuracy import AccuracyPredictor
    from ofa.search.specialise import DeviceSearch
    from ofa.space import get_space
    from ofa.tables import LatencyTable, find_table

    space, resolutions = get_space("mbv3-w1.2"), (160, 176, 192, 208, 224)
    table = LatencyTable.load(find_table("note10"))
    kind, _, rest = task.partition(" ")
    if kind == "shipped-predictor":
        predictor = AccuracyPredictor.default(space)
    else:
        predictor = AccuracyPredictor.load(figures / "predictors" / "acc_predictor.pth", space)
    rng = np.random.default_rng(0)
    if kind == "search":
        limit, seed = map(int, rest.split())
        search = DeviceSearch("note10", table, predictor, space, resolutions)
        started = time.perf_counter()
        (found,), evaluations = search.run([limit], np.random.default_rng(seed))
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "top1": found.predictor_top1, "evaluations": evaluations}
    count, run = {
        "table": (1_000_000, lambda genes: table.latency_ms(space, genes)),
        "predictor": (100_000, predictor.predict),
        "shipped-predictor": (100_000, predictor.predict),
    }[kind]
    genes = space.sample(rng, count, resolutions=resolutions)
    run(genes[:1000])
    return {"per_second": count / median_seconds(lambda: run(genes), 5)}


def exact(figures: Path, task: str) -> Any:
    """Answers one task of the exact search: "limit MS", "frontier RESOLUTIONS" or "devices N", best of several runs."""
    import resource

    import numpy as np

    from ofa.predictors.accuracy import AccuracyPredictor
    from ofa.predictors.separable.predictor import SeparablePredictor
    from ofa.search.exact.search import ExactSearch
    from ofa.search.specialise import DeviceSearch
    from ofa.space import RESOLUTIONS, get_space
    from ofa.tables import LatencyTable, find_table

    del figures
    kind, _, rest = task.partition(" ")
    space = get_space("mbv3-w1.0")
    resolutions = RESOLUTIONS if rest == "25" else (128, 160, 176, 192, 224)
    table = LatencyTable.load(find_table("xeon-vm-onnxruntime"))
    predictor = AccuracyPredictor.default(space)
    assert isinstance(predictor, SeparablePredictor)
    search = DeviceSearch("xeon", table, predictor, space, resolutions)
    scores = [predictor.unit_scores(r) for r in search.resolutions]
    block_ns = search.lookup.block_ns.astype(np.int64)
    rng, seconds, points = np.random.default_rng(0), [], 0
    for _ in range(1 if kind == "devices" else 7):
        started = time.perf_counter()
        if kind == "frontier":
            whole = ExactSearch(search.index, scores, block_ns[None]).front()
            points = len(whole.cost)
        elif kind == "limit":
            ExactSearch(search.index, scores, block_ns[None]).best(np.array([int(float(rest) * 1e6)]))
        else:
            for _ in range(int(rest)):
                scaled = np.rint(block_ns * rng.lognormal(0, 0.3, len(block_ns))).astype(np.int64)
                one = ExactSearch(search.index, scores, scaled[None])
                least = one.range()
                one.best(np.geomspace(*least, 20).astype(np.int64))
        seconds.append(time.perf_counter() - started)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": min(seconds), "points": points, "megabytes": memory}


def shell(figures: Path, task: str) -> Any:
    """`python -m ofa.search` with one limit, a process of its own, best of several: seconds of wall time and of CPU."""
    import resource
    import tempfile

    del figures
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(7):
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "ofa.search", "--table", "xeon-vm-onnxruntime", "--latency", task, "--out"]
            subprocess.run([*command, folder], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found.append((time.perf_counter() - started, cpu))
    return {"seconds": min(wall for wall, _ in found), "cpu_seconds": min(cpu for _, cpu in found)}


def theirs(figures: Path, task: str) -> Any:
    """The same of the original implementation, whose package must come first on sys.path."""
    import random

    import numpy as np
    import torch
    import yaml

    # what its import needs today: see benchmarks/README.md
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yaml.load = functools.partial(yaml.load, Loader=yaml.SafeLoader)
    sys.modules["gdown"] = types.ModuleType("gdown")
    from ofa.tutorial.accuracy_predictor import AccuracyPredictor  # type: ignore[import-not-found]
    from ofa.tutorial.evolution_finder import ArchManager, EvolutionFinder  # type: ignore[import-not-found]
    from ofa.tutorial.latency_table import LatencyEstimator, LatencyTable  # type: ignore[import-not-found]

    predictor = AccuracyPredictor(pretrained=False, device="cpu")
    weights = torch.load(figures / "predictors" / "acc_predictor.pth", map_location="cpu", weights_only=True)
    predictor.model.load_state_dict(weights)
    table = LatencyTable.__new__(LatencyTable)
    folder = figures / "tables" / "note10"
    table.latency_tables = {
        size: LatencyEstimator(url=str(folder / f"{size}_lookup_table.yaml")) for size in (160, 176, 192, 208, 224)
    }
    kind, _, rest = task.partition(" ")
    if kind == "search":
        limit, seed = map(int, rest.split())
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 (the original draws from the global generator)
        finder = EvolutionFinder("note10", limit, table, predictor)
        started = time.perf_counter()
        _, best = finder.run_evolution_search()
        return {"seconds": time.perf_counter() - started, "top1": 100 * best[0], "evaluations": 100 + 500 * 100}
    samples = [ArchManager().random_sample() for _ in range(2000)]
    run: Callable[[], object] = {
        "table": lambda: [table.predict_efficiency(sample) for sample in samples],
        "predictor": lambda: predictor.predict_accuracy(samples),
    }[kind]
    run()
    return {"per_second": len(samples) / median_seconds(run, 5)}


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of several runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def ask(side: str, arguments: argparse.Namespace, task: str, cores: int = 1) -> Any:
    """The answer of a fresh process, held to the first cores."""
    path = "" if side != "theirs" else f"sys.path.insert(0, {str(arguments.reference.resolve())!r}); "
    code = (
        f"import sys; {path}import runpy, json, pathlib; module = runpy.run_path({str(Path(__file__).resolve())!r}); "
    )
    code += f"print(json.dumps(module[{side!r}](pathlib.Path({str(arguments.figures.resolve())!r}), {task!r})))"
    available = sorted(os.sched_getaffinity(0))[:cores]
    environment = {**os.environ, **({name: str(cores) for name in ONE_THREAD} if cores > 1 else ONE_THREAD)}
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, available),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{side}, {task}: {finished.stderr}")
    return json.loads(finished.stdout.splitlines()[-1])


def main(argv: list[str] | None = None) -> int:
    """Prints the exact search, then a line a limit, then the throughputs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--figures", type=Path, required=True, help="folder of the published predictor and tables")
    parser.add_argument("--reference", type=Path, help="folder of the original implementation's package")
    parser.add_argument("--seeds", type=int, default=5, help="ours per limit (default 5; the original's: one)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which (default: all)")
    arguments = parser.parse_args(argv)
    one_limit = math.nan
    if "exact" in arguments.parts:
        one_limit = show_exact(arguments)
    if "limits" in arguments.parts:
        show_limits(arguments, one_limit)
    if "throughput" in arguments.parts:
        show_throughput(arguments)
    return 0


def show_exact(arguments: argparse.Namespace) -> float:
    """Prints a line a task of the exact search; seconds that one limit takes."""
    one_limit = math.nan
    for kind in ("frontier 5", "frontier 25", "limit 5", "devices 1000"):
        answer = ask("exact", arguments, kind)
        points = f", {answer['points']:,} networks" if answer["points"] else ""
        print(f"exact, {kind}: {answer['seconds']:.3f} s{points}, {answer['megabytes']:.0f} MB", flush=True)
        if kind == "limit 5":
            one_limit = answer["seconds"]
    answer = ask("shell", arguments, "5")
    print(f"from the shell, one limit: {answer['seconds']:.2f} s, {answer['cpu_seconds']:.2f} s of CPU", flush=True)
    return one_limit


def show_limits(arguments: argparse.Namespace, one_limit: float) -> None:
    """Prints a line a limit: ours over all seeds by MIT's predictor, and the original's evolution."""
    for limit in LIMITS_MS:
        answers = [ask("ours", arguments, f"search {limit} {seed}") for seed in range(arguments.seeds)]
        top1, seconds = [a["top1"] for a in answers], [a["seconds"] for a in answers]
        line = f"{limit} ms: ours {min(top1):.2f} to {max(top1):.2f} % over {len(top1)} seeds, "
        line += (
            f"{statistics.median(seconds):.2f} s (worst {max(seconds):.2f}), {answers[0]['evaluations']} evaluations"
        )
        if arguments.reference:
            other = ask("theirs", arguments, f"search {limit} 0")
            line += f"; original {other['top1']:.2f} %, {other['seconds']:.1f} s, {other['evaluations']} evaluations: "
            line += f"{other['seconds'] / statistics.median(seconds):.1f} times as long"
            if not math.isnan(one_limit):
                line += f", and {other['seconds'] / one_limit:.0f} times one limit of the exact search"
        print(line, flush=True)


def show_throughput(arguments: argparse.Namespace) -> None:
    """Prints a line a rate."""
    for kind, cores in (("table", 1), ("predictor", 1), ("predictor", 2), ("shipped-predictor", 2)):
        rate = ask("ours", arguments, kind, cores)["per_second"]
        line = f"{kind}, {cores} core{'s' * (cores > 1)}: ours {rate:,.0f} sub-networks/s"
        if arguments.reference and kind != "shipped-predictor":
            other = ask("theirs", arguments, kind, cores)["per_second"]
            line += f", original {other:,.0f}/s: {rate / other:.0f} times as many"
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
