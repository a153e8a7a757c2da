"""ONNX models, timed by onnxruntime's execution providers for NVIDIA GPUs: CUDA, and TensorRT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from device_agents.cuda.device import HELD_CYCLES, Cpu, Cuda, Work
from device_agents.cuda.nvml import Nvml
from device_agents.cuda.onnx_session import CPU, Model, Provider, tensorrt_version, version_of
from device_agents.cuda.visits import Loaded, Visits

# by the names of runtimes
PROVIDERS = {"onnxruntime-cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
# no run is as short: even an empty graph takes the GPU longer
LEAST_RUN_NS = 1000
# runs after which a graph is captured for sure
_BEFORE_ASKED = 3


class OnnxAgent(Visits):
    """Makes visits by one provider. A model is loaded for every visit: sessions keep memory that others may need."""

    def __init__(self, manifest: dict[str, Any], device: Cuda | Cpu, nvml: Nvml, provider: Provider) -> None:
        super().__init__(manifest, device, nvml)
        self.runtime, self.provider = manifest["runtime"], provider
        self.by_events = isinstance(device, Cuda)
        # of this visit: what is queued needs its memory until the device is done with it
        self._kept: list[Model] = []

    @property
    def runtime_version(self) -> str:
        import onnxruntime

        if self.runtime != "tensorrt":
            return f"{self.runtime} {onnxruntime.__version__}"
        return (
            f"tensorrt {tensorrt_version() or 'of a version that is not known'}, onnxruntime {onnxruntime.__version__}"
        )

    def facts(self) -> dict[str, Any]:
        import onnxruntime

        cudnn = version_of("libcudnn", "cudnnGetVersion")
        return {
            **super().facts(),
            # as onnxruntime was built for; torch's own may be others
            "cuda": getattr(onnxruntime, "cuda_version", None) or None,
            "cudnn": None if cudnn is None else str(cudnn),
            "provider": self.provider.name,
            "timed_by": self._timed_by(),
        }

    def _timed_by(self) -> str:
        if not isinstance(self.device, Cuda):
            return "the clock on the wall, each run waited for: launching it counts"
        if self.manifest["mode"] == "graph" and not self.device.held_cycles:
            return "CUDA events, each run waited for by onnxruntime: launching it counts"
        return "CUDA events"

    def check(self) -> None:
        """NotUsed where the provider does not run; else whether its runs can be queued behind a GPU that is held."""
        model = self.provider.check()
        if isinstance(self.device, Cuda) and self.manifest["mode"] == "graph":
            model.unwaited()
            for _ in range(_BEFORE_ASKED):
                model()
            # TensorRT's replay of a graph is waited for, whatever a run is told, and CUDA's was until 2026
            if not self.device.waits_for(model):
                self.device.held_cycles = HELD_CYCLES

    def let_go(self) -> None:
        self.device.settle()
        self._kept.clear()
        super().let_go()

    def loaded(self, name: str, path: Path) -> Loaded:
        del name
        (model,) = self._models([path])

        def runs(count: int) -> Work:
            def work() -> None:
                for _ in range(count):
                    model()

            return work

        calls, count = self.sizes(model, lambda: runs(4), self.manifest["rules"]["min_sample_us"] * 1000)
        return Loaded([runs(calls)], calls, count, {"inputs": "warm", "input_buffers": 1})

    def parts(self, paths: Sequence[Path]) -> list[Work]:
        return list(self._models(paths))

    def _models(self, paths: Sequence[Path]) -> list[Model]:
        """Each takes what the one before puts out; those of the visit before are gone."""
        self.device.settle()
        self._kept.clear()
        rng, given = np.random.default_rng(self.manifest["seed"]), None
        for path in paths:
            model = Model(self.provider.session(str(path)), self.provider, rng, given)
            if self.by_events:
                model.unwaited()
            self._kept.append(model)
            given = model.output
        return list(self._kept)

    def run_ns(self, each: float) -> float:
        if self.by_events and each < LEAST_RUN_NS:
            raise RuntimeError(
                f"by events a run takes {each:.0f} ns: {self.provider.name} does not use the stream that it was given"
            )
        return each


def onnx_agent(manifest: dict[str, Any], device: Cuda | Cpu, nvml: Nvml, folder: Path) -> OnnxAgent:
    """An agent whose provider runs here; ValueError where it does not. folder: where engines are kept"""
    agent = OnnxAgent(manifest, device, nvml, provider_of(manifest, device, folder))
    agent.check()
    return agent


def provider_of(manifest: dict[str, Any], device: Cuda | Cpu, folder: Path) -> Provider:
    """What runs the models of a manifest; the CPU in a GPU's place."""
    asked = torch.device(manifest["device"])
    if asked.type == "cpu":
        return Provider(CPU, {}, "cpu", 0)
    index = asked.index or 0
    graph = str(int(manifest["mode"] == "graph"))
    options = {"device_id": str(index)}
    if isinstance(device, Cuda):
        options["user_compute_stream"] = str(device.stream)
    if manifest["runtime"] == "tensorrt":
        cache = str(folder / "engines")
        options |= {
            "trt_cuda_graph_enable": graph,
            "trt_fp16_enable": str(int(manifest["dtype"] == "fp16")),
            # beside the models, and gone with them: an agent that starts again finds what was built
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cache,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": cache,
        }
    else:
        options |= {"enable_cuda_graph": graph, "use_tf32": str(int(manifest["dtype"] == "tf32"))}
    return Provider(PROVIDERS[manifest["runtime"]], options, "cuda", index)
