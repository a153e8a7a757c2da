"""Search, table look-ups and predictions: how fast and how good, beside the original implementation.

    python benchmarks/search.py --figures FOLDER                       # ours alone
    python benchmarks/search.py --figures FOLDER --reference PACKAGES  # and the original, taking turns

FOLDER holds MIT's published `predictors/acc_predictor.pth` and `tables/note10/*.yaml`; PACKAGES the package `ofa` of
PyPI, unpacked (see benchmarks/README.md). Both searches use that predictor and the Note10 latencies, over MobileNetV3
of width 1.2 at 160-224 px. Every process is held to one core and one thread, but for throughputs on all cores.
"""

from __future__ import annotations

import argparse
import functools
import json
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
        return {"seconds": seconds, "top1": found.predicted_top1, "evaluations": evaluations}
    count, run = {
        "table": (1_000_000, lambda genes: table.latency_ms(space, genes)),
        "predictor": (100_000, predictor.predict),
        "shipped-predictor": (100_000, predictor.predict),
    }[kind]
    genes = space.sample(rng, count, resolutions=resolutions)
    run(genes[:1000])
    return {"per_second": count / median_seconds(lambda: run(genes), 5)}


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
    path = "" if side == "ours" else f"sys.path.insert(0, {str(arguments.reference.resolve())!r}); "
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
    """Prints a line a limit, then the throughputs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--figures", type=Path, required=True, help="folder of the published predictor and tables")
    parser.add_argument("--reference", type=Path, help="folder of the original implementation's package")
    parser.add_argument("--seeds", type=int, default=5, help="ours per limit (default 5; the original's: one)")
    arguments = parser.parse_args(argv)
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
            line += f"{other['seconds'] / statistics.median(seconds):.0f} times as long"
        print(line, flush=True)
    for kind, cores in (("table", 1), ("predictor", 1), ("predictor", 2), ("shipped-predictor", 2)):
        rate = ask("ours", arguments, kind, cores)["per_second"]
        line = f"{kind}, {cores} core{'s' * (cores > 1)}: ours {rate:,.0f} sub-networks/s"
        if arguments.reference and kind != "shipped-predictor":
            other = ask("theirs", arguments, kind, cores)["per_second"]
            line += f", original {other:,.0f}/s: {rate / other:.0f} times as many"
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
