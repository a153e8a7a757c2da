"""Do OpenVINO's models that are compiled several at once, before anything is timed, run as those compiled alone?

    python benchmarks/runtimes/loaded_ahead.py                          # 100 s
    python benchmarks/runtimes/loaded_ahead.py --dtype int8
    python benchmarks/runtimes/loaded_ahead.py --files exported         # float32: alone, of files as export writes them

The models of a profile of one resolution are compiled twice: one after the other by a thread that is pinned to the last
CPU, and as the agent does. It prints how long each takes, how many differ in a kernel or an output, and how much longer
the latter run: some blocks, the whole networks and those in parts are visited in turns, alone, ahead, ahead, alone.
Wall time, one thread: the machine must be quiet.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.cpu.ahead import load_ahead, smallest_then_longest
from device_agents.cpu.openvino_runtime import (
    _compiled,
    _noise_like,
    load_openvino,
    load_openvino_parts,
    prepare_openvino,
)
from device_agents.cpu.system import pin
from device_agents.cpu.timing import time_model, time_parts
from ofa.graph import network_graph
from ofa.graph.onnx import write_onnx
from profilers.measuring.models import check_runtime, write_plan
from profilers.measuring.pace import CPU_IN_PLACE
from profilers.profiling.profile_options import PlanOptions
from profilers.profiling.work import planned

KERNEL = ("layerType", "primitiveType", "runtimePrecision", "outputPrecisions", "outputLayouts")
BLOCKS = 20


def computed(path: Path, dtype: str) -> tuple[list[tuple[str, ...]], NDArray[Any]]:
    """The kernels of a model, in their order, and its output of some noise."""
    compiled = _compiled(path, 1, dtype)
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    request = compiled.create_infer_request()
    given = request.get_input_tensor()
    given.data[:] = _noise_like(given, np.random.default_rng(1))
    kernels = [tuple(facts[key].astype(str) for key in KERNEL if key in facts) for facts in nodes]
    return kernels, request.infer()[0].copy()


def visit_ns(paths: Sequence[Path], dtype: str) -> float:
    """The median of a visit to a model, or to a network in parts."""
    rng = np.random.default_rng(0)
    if len(paths) == 1:
        timed = time_model(load_openvino(paths[0], 1, rng, dtype), CPU_IN_PLACE.blocks, True)
    else:
        timed = time_parts(load_openvino_parts(paths, 1, rng, dtype), CPU_IN_PLACE.parts, True)
    return float(np.median(timed["samples_ns"])) / int(timed["calls_per_sample"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16", "int8"])
    parser.add_argument("--files", default="timed", choices=["timed", "exported"])
    parser.add_argument("--ahead-first", action="store_true", help="the latter get the first place in memory")
    parser.add_argument("--seconds", type=float, default=80.0, metavar="S")
    args = parser.parse_args()
    if args.files == "exported" and args.dtype == "int8":
        parser.error("--files exported is of float32 models: of int8 ones, those at the borders of blocks differ")
    check_runtime("openvino")
    usable = sorted(os.sched_getaffinity(0))
    cpus, dtype = usable[-1:], "bf16" if args.dtype == "bf16" else "fp32"
    work = planned(PlanOptions(resolutions=(160,)), in_place=True)
    with tempfile.TemporaryDirectory() as folder:
        written = write_plan(work.plan, "openvino", Path(folder), 1, args.dtype)
        models = {name: (file,) if isinstance(file, str) else file for name, file in written.items()}
        files = sorted({file for chain in models.values() for file in chain})
        other = Path(folder) / "alone"
        other.mkdir()
        for name, chain in models.items():
            blocks = work.plan.parts(name) if len(chain) > 1 else [work.plan.models[name]]
            for file, part in zip(chain, blocks, strict=True):
                plain = write_onnx(network_graph(part)) if args.files == "exported" else None
                (other / file).write_bytes(plain or (Path(folder) / file).read_bytes())
        pin(cpus)
        paths = [Path(folder) / file for file in files]

        def one_by_one() -> None:
            for file in files:
                _compiled(other / file, 1, dtype)

        def several_at_once() -> None:
            coming = smallest_then_longest(paths)
            for _ in load_ahead(lambda path: prepare_openvino(path, 1, dtype), coming, cpus, usable):
                pass

        both = [("alone", one_by_one), ("ahead", several_at_once)]
        for name, compile_all in reversed(both) if args.ahead_first else both:
            began = time.perf_counter()
            compile_all()
            print(f"{len(files)} models, {name}: {time.perf_counter() - began:.1f} s", flush=True)
        pairs = [
            (computed(other / file, dtype), computed(path, dtype)) for file, path in zip(files, paths, strict=True)
        ]
        kernels = sum(a[0] != b[0] for a, b in pairs)
        outputs = sum(not np.array_equal(a[1], b[1]) for a, b in pairs)
        print(f"{kernels} differ in a kernel, {outputs} in an output", flush=True)
        kinds = {
            "blocks": [str(name) for name in np.random.default_rng(0).permutation(work.block_ids)[:BLOCKS]],
            "whole networks": [*work.network_ids],
            "networks in parts": [name for name, chain in models.items() if len(chain) > 1],
        }
        compare({kind: {name: models[name] for name in names} for kind, names in kinds.items()},
                (other, Path(folder)), dtype, args.seconds)  # fmt: skip


def compare(
    kinds: dict[str, dict[str, tuple[str, ...]]], folders: tuple[Path, Path], dtype: str, seconds: float
) -> None:
    """Visits models in turns, and prints how much longer those of the second folder took. kinds: {kind: {id: files}}"""
    logs: dict[str, list[float]] = {name: [] for models in kinds.values() for name in models}
    ends, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        for models in kinds.values():
            for name, files in models.items():
                took = [visit_ns([folder / file for file in files], dtype) for folder in (*folders, *reversed(folders))]
                logs[name].append(0.5 * float(np.log(took[1] * took[2] / (took[0] * took[3]))))
        rounds += 1
    for kind, models in kinds.items():
        each = 100 * np.array([np.median(logs[name]) for name in models])
        error = each.std(ddof=1) / len(each) ** 0.5
        print(f"{len(each)} {kind}, {rounds} rounds: ahead took {each.mean():+.2f} % longer (+- {error:.2f})")


if __name__ == "__main__":
    main()
