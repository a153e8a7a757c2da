"""Models of TorchScript, timed by torch: inputs side by side in memory, runs captured into CUDA graphs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from device_agents.cuda.device import Cpu, Cuda, Work
from device_agents.cuda.model import read_torchscript
from device_agents.cuda.nvml import Nvml
from device_agents.cuda.visits import Loaded, Visits

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# of one model's input; inputs smaller than a share of so many of the L2 cache do not fill it together
MAX_BUFFERS = 128
# so many graphs of a model, or as many as hold so many operators, if those are more, each with its own inputs: all of
# a block's inputs fit, and a network needs no more, since what it computes fills the cache
MAX_GRAPHS, MAX_OPERATORS = 16, 6000
# inputs begin at multiples of so many bytes, as PyTorch's allocations do: cuDNN chooses its algorithm by alignment too
ALIGNMENT = 512


class Agent(Visits):
    """Makes visits on one device. Models stay on it; inputs and graphs are made anew for every visit."""

    runtime = "torch"

    def __init__(self, manifest: dict[str, Any], device: Cuda | Cpu, nvml: Nvml) -> None:
        super().__init__(manifest, device, nvml)
        self.dtype = DTYPES[manifest["dtype"]]
        self.channels_last = manifest["memory_format"] == "channels-last"
        self.format = torch.channels_last if self.channels_last else torch.contiguous_format
        # id: the model, how many of its runs make a sample, and how many samples a batch
        self._models: dict[str, tuple[Callable[[torch.Tensor], object], int, int]] = {}
        self._arena = torch.empty(0)

    @property
    def runtime_version(self) -> str:
        return f"torch {torch.__version__}"

    def visit(self, name: str, path: Path) -> dict[str, Any]:
        """The fields of a `result`. Where memory runs out all kept models are let go, and it is tried once more."""
        message = ""
        for _ in range(2):
            try:
                return self._visit(name, path)
            except torch.OutOfMemoryError as error:
                message = str(error).splitlines()[0]
            # here, where the error no longer holds on to what was allocated
            self.let_go()
        raise MemoryError(message)

    def let_go(self) -> None:
        self._models.clear()
        self._arena = torch.empty(0)
        super().let_go()

    @torch.inference_mode()
    def _visit(self, name: str, path: Path) -> dict[str, Any]:
        return super().visit(name, path)

    def loaded(self, name: str, path: Path) -> Loaded:
        shape = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["input_shape"]
        if name not in self._models:
            self._load(name, path, shape)
        model, calls, count = self._models[name]
        inputs = self._inputs(shape)
        works = [self._work(model, chosen) for chosen in in_turn(inputs, calls, self._most_graphs(model, calls))]
        used = min(len(inputs), len(works) * calls)
        used_bytes = used * inputs[0].nbytes
        return Loaded(
            works,
            calls,
            count,
            {
                "inputs": "cold" if used_bytes > self.device.l2_bytes > 0 else "warm",
                "input_buffers": used,
                "input_buffers_bytes": used_bytes,
            },
        )

    def _load(self, name: str, path: Path, shape: Sequence[int]) -> None:
        module = read_torchscript(path).to(self.device.device, self.dtype)
        module.to(memory_format=self.format)  # type: ignore[call-overload]
        run = torch.compile(module, dynamic=False) if self.manifest["mode"] == "compile" else module
        enough_ns = self.manifest["rules"]["min_sample_us"] * 1000
        self._models[name] = run, *self._sizes(run, self._inputs(shape)[0], enough_ns)

    def _sizes(
        self, model: Callable[[torch.Tensor], object], images: torch.Tensor, enough_ns: float
    ) -> tuple[int, int]:
        return self.sizes(lambda: model(images), lambda: self._work(model, [images] * 4), enough_ns)

    def _most_graphs(self, model: Callable[[torch.Tensor], object], calls: int) -> int:
        """So many graphs of a model are captured at most; an eager model has none, and uses every input."""
        if self.manifest["mode"] == "eager":
            return MAX_BUFFERS
        graph = getattr(model, "graph", None)
        operators = len(graph.nodes) if graph else MAX_OPERATORS
        return max(MAX_GRAPHS, MAX_OPERATORS // (operators * calls))

    def _inputs(self, shape: Sequence[int]) -> list[torch.Tensor]:
        """Different inputs of a shape, N C H W, side by side in memory: together more than the L2 cache holds."""
        size = math.prod(shape)
        bytes_each = size * self.dtype.itemsize
        stride = math.ceil(bytes_each / ALIGNMENT) * ALIGNMENT // self.dtype.itemsize
        count = 1
        if self.manifest["inputs"] == "cold":
            count = min(max(2, self.device.l2_bytes // bytes_each + 2), MAX_BUFFERS)
        if self._arena.numel() < count * stride:
            self._arena = torch.empty(0)  # its memory may be needed for the larger one
            generator = torch.Generator(self.device.device).manual_seed(self.manifest["seed"])
            elements = 1 << (count * stride - 1).bit_length()
            self._arena = torch.randn(elements, dtype=self.dtype, device=self.device.device, generator=generator)
        flat = self._arena[: count * stride].view(count, stride)[:, :size]
        if len(shape) == 4 and self.channels_last:
            n, c, h, w = shape
            return [row.view(n, h, w, c).permute(0, 3, 1, 2) for row in flat]
        return [row.view(*shape) for row in flat]

    def _work(self, model: Callable[[torch.Tensor], object], inputs: Sequence[torch.Tensor]) -> Work:
        """One sample's work: a run for every input."""

        def work() -> None:
            for images in inputs:
                model(images)

        return work if self.manifest["mode"] == "eager" else self.device.recorded(work)


def in_turn(inputs: Sequence[torch.Tensor], calls: int, most: int = MAX_GRAPHS) -> Iterator[list[torch.Tensor]]:
    """Groups of `calls` inputs, one a sample, that together use every input, or as many as `most` groups can."""
    for group in range(min(most, math.ceil(len(inputs) / calls))):
        yield [inputs[(group * calls + i) % len(inputs)] for i in range(calls)]
