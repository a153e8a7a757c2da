"""The GPU agent: times models by CUDA events, and speaks the protocol of device_agents/PROTOCOL.md.

    python device_agents/cuda/agent.py manifest.json

Nothing of the host side: copy the folder device_agents/cuda to a machine with torch, and it runs there. The few lines
that it shares with the CPU agent it repeats, so that either can be copied alone. nvidia-ml-py, where it is installed,
tells clock, temperature, throttling, other processes and energy. The device "cpu" is for tests.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch

if not __package__:  # started as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from device_agents.cuda.device import CaptureFailed, Cpu, Cuda, Work, end_lost, load_average
from device_agents.cuda.model import read_torchscript
from device_agents.cuda.nvml import Nvml, nvml_of
from device_agents.cuda.timing import power_mw, take_samples, warm_up

PROTOCOL = 1
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
CHOICES = {
    "runtime": ("torch",),
    "dtype": tuple(DTYPES),
    "mode": ("graph", "eager", "compile"),
    "memory_format": ("channels-last", "contiguous"),
    "inputs": ("cold", "warm"),
}
# of one model's input; inputs smaller than a share of so many of the L2 cache do not fill it together
MAX_BUFFERS = 128
# runs in one sample, and so in one graph
MAX_CALLS = 256
# so many graphs of a model, or as many as hold so many operators, if those are more, each with its own inputs: all of
# a block's inputs fit, and a network needs no more, since what it computes fills the cache
MAX_GRAPHS, MAX_OPERATORS = 16, 6000
# inputs begin at multiples of so many bytes, as PyTorch's allocations do: cuDNN chooses its algorithm by alignment too
ALIGNMENT = 512
# samples that are queued at once, after one that is not timed: as many as take so long, but some
BATCH_NS, FEWEST, MOST = 2_500_000, 2, 10
# how much work is queued at a time while the energy counter is watched
BUSY_NS = 20_000_000
# while samples are taken clock and throttling are read so often, and the list of processes so often
LOOK_NS, LIST_NS = 10_000_000, 1_000_000_000


class Speaker:
    """Writes protocol lines to the real standard output, and points the runtime's own chatter at stderr."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
        os.dup2(2, 1)

    def say(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._out.write(json.dumps({"type": kind, **fields}, allow_nan=False) + "\n")
            self._out.flush()


class Agent:
    """Makes visits on one device. Models stay on it; inputs and graphs are made anew for every visit."""

    def __init__(self, manifest: dict[str, Any], device: Cuda | Cpu, nvml: Nvml) -> None:
        self.manifest, self.device, self.nvml = manifest, device, nvml
        self.dtype = DTYPES[manifest["dtype"]]
        self.channels_last = manifest["memory_format"] == "channels-last"
        self.format = torch.channels_last if self.channels_last else torch.contiguous_format
        # id: the model, how many of its runs make a sample, and how many samples a batch
        self._models: dict[str, tuple[Callable[[torch.Tensor], object], int, int]] = {}
        self._energy_known: set[str] = set()
        self._arena = torch.empty(0)
        self._others: list[int] | None = None
        self._listed_ns: int | None = None

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
        """Frees all memory. Raises if the device is of no more use."""
        self._models.clear()
        self._arena = torch.empty(0)
        self.device.free()

    @torch.inference_mode()
    def _visit(self, name: str, path: Path) -> dict[str, Any]:
        started = time.perf_counter_ns()
        rules = self.manifest["rules"]
        shape = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["input_shape"]
        if name not in self._models:
            self._load(name, path, shape)
        model, calls, count = self._models[name]
        inputs = self._inputs(shape)
        works = [self._work(model, chosen) for chosen in in_turn(inputs, calls, self._most_graphs(model, calls))]
        used = min(len(inputs), len(works) * calls)
        used_bytes = used * inputs[0].nbytes
        loaded = time.perf_counter_ns()
        place = 0
        clocks: list[float | None] = []
        throttling: list[list[str] | None] = []
        looked: int | None = None  # when; None: the warm-up needs the clock of every batch

        def look() -> None:
            # while the GPU works: idle, its clock and its reasons would be others
            nonlocal looked
            now = time.perf_counter_ns()
            if looked is None or now - looked >= LOOK_NS:
                clocks.append(self.nvml.clock_mhz())
                if looked is not None:
                    looked = now
                    throttling.append(self.nvml.throttling())

        def batch() -> list[int]:
            nonlocal place
            place += count + 1
            return self.device.timed([works[(place + i) % len(works)] for i in range(count + 1)], look)

        facts = {"temperature_c_before": self.nvml.temperature_c(), "setup_ns": loaded - started}
        warm_up(batch, lambda: clocks[-1], rules)
        warm = time.perf_counter_ns()
        del clocks[:-1]
        looked = warm - LOOK_NS
        samples = take_samples(batch, rules)
        timed = time.perf_counter_ns()
        seen = [reasons for reasons in throttling if reasons is not None]
        return {
            **facts,
            "samples_ns": samples,
            "cpu_ns": None,
            "calls_per_sample": calls,
            "warmup_ns": warm - loaded,
            "timed_ns": timed - warm,
            "involuntary_switches": None,
            "clock_mhz_before": clocks[0],
            "clock_mhz_after": clocks[-1],
            "temperature_c_after": self.nvml.temperature_c(),
            "throttling": sorted({reason for reasons in seen for reason in reasons}) if seen else None,
            "other_processes": self.others(),
            "inputs": "cold" if used_bytes > self.device.l2_bytes > 0 else "warm",
            "input_buffers": used,
            "input_buffers_bytes": used_bytes,
            **self._energy(name, works, statistics.median(samples), calls),
        }

    def _load(self, name: str, path: Path, shape: Sequence[int]) -> None:
        module = read_torchscript(path).to(self.device.device, self.dtype)
        module.to(memory_format=self.format)  # type: ignore[call-overload]
        run = torch.compile(module, dynamic=False) if self.manifest["mode"] == "compile" else module
        enough_ns = self.manifest["rules"]["min_sample_us"] * 1000
        self._models[name] = run, *self._sizes(run, self._inputs(shape)[0], enough_ns)

    def others(self) -> list[int] | None:
        """Ids of other processes on the GPU, listed at most once a second: a list may take milliseconds."""
        now = time.monotonic_ns()
        if self._listed_ns is None or now - self._listed_ns >= LIST_NS:
            self._others, self._listed_ns = self.nvml.other_processes(), now
        return self._others

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

    def _sizes(
        self, model: Callable[[torch.Tensor], object], images: torch.Tensor, enough_ns: float
    ) -> tuple[int, int]:
        """How many runs take `enough_ns`, for an event's own time must not count; and how many such samples a batch."""
        # in the first runs libraries choose algorithms, and torch.compile compiles
        self.device.timed([lambda: model(images)] * 3, lambda: None)
        trial = self._work(model, [images] * 4)
        each = statistics.median(self.device.timed([trial] * 4, lambda: None)) / 4
        calls = min(MAX_CALLS, max(1, math.ceil(enough_ns / each)))
        return calls, min(MOST, max(FEWEST, round(BATCH_NS / (calls * each))))

    def _energy(self, name: str, works: Sequence[Work], sample_ns: float, calls: int) -> dict[str, float | None]:
        """Energy of one run, once a model and agent: mean power over the window, times the median time of a run."""
        window_s = self.manifest.get("energy_seconds")
        if not window_s or name in self._energy_known:
            return {}
        self._energy_known.add(name)
        chunk = [works[i % len(works)] for i in range(max(1, round(BUSY_NS / sample_ns)))]
        found = power_mw(self.nvml.energy_mj, lambda: self.device.keep_busy(chunk), window_s)
        self.device.settle()
        if found is None:
            return {"energy_mj": None, "energy_error_mj": None}
        power, error, seconds = found
        run_s = sample_ns / calls / 1e9
        return {"energy_mj": power * run_s, "energy_error_mj": error * run_s, "energy_seconds": seconds}


def in_turn(inputs: Sequence[torch.Tensor], calls: int, most: int = MAX_GRAPHS) -> Iterator[list[torch.Tensor]]:
    """Groups of `calls` inputs, one a sample, that together use every input, or as many as `most` groups can."""
    for group in range(min(most, math.ceil(len(inputs) / calls))):
        yield [inputs[(group * calls + i) % len(inputs)] for i in range(calls)]


def prepared(manifest: dict[str, Any]) -> Agent:
    """Checks what the manifest asks for, and opens the device. Raises ValueError."""
    if (stated := manifest.get("protocol", "missing")) != PROTOCOL:
        raise ValueError(f"manifest is of protocol {stated!r}, this agent speaks {PROTOCOL}")
    for field, expected in CHOICES.items():
        if manifest[field] not in expected:
            raise ValueError(f"{field} is {manifest[field]!r}, expected one of {', '.join(expected)}")
    device = torch.device(manifest["device"])
    if device.type == "cpu":
        torch.set_num_threads(1)
        return Agent(manifest, Cpu(device), Nvml(None, "", "this is a CPU"))
    cuda = Cuda(device)
    if manifest["dtype"] in ("tf32", "bf16") and cuda.properties.major < 8:
        raise ValueError(f"{cuda.properties.name} has no {manifest['dtype']}: it takes compute capability 8.0")
    # fp32 means fp32: by default cuDNN would use tf32
    with warnings.catch_warnings():
        # since torch 2.9 of newer names; the older ones hold everywhere, and both must not be mixed
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = manifest["dtype"] == "tf32"
    nvml = nvml_of(str(cuda.properties.uuid))
    before = nvml.processes()
    cuda.open()
    nvml.ours = (nvml.processes() or set()) - (before or set()) | {os.getpid()}
    return Agent(manifest, cuda, nvml)


def beat(speaker: Speaker, seconds: float) -> None:
    """Says now and then that the agent lives; ends it, hanging or not, when nobody listens any more."""
    try:
        while True:
            time.sleep(seconds)
            speaker.say("heartbeat")
    except OSError:
        os._exit(1)


def usable(agent: Agent) -> bool:
    """Frees what a failed visit left; False where even this fails, as after an illegal access."""
    try:
        agent.let_go()
    except Exception:
        return False
    return True


def safe_path(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise ValueError(f"model path {name!r} leaves the manifest's folder")
    return path


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    speaker = Speaker()
    try:
        manifest = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
        folder = Path(argv[0]).resolve().parent
        paths = {m["id"]: safe_path(folder, m["path"]) for m in manifest["models"] if "parts" not in m}
        agent = prepared(manifest)
    except Exception as error:
        speaker.say("error", id=None, message=f"{type(error).__name__}: {error}")
        return 1
    speaker.say(
        "hello",
        protocol=PROTOCOL,
        agent="cuda",
        runtime=f"torch {torch.__version__}",
        device={
            **agent.device.facts(),
            **agent.nvml.facts(),
            "os": f"{platform.system()} {platform.release()}",
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "load_average": load_average(),
        },
    )
    threading.Thread(target=beat, args=(speaker, manifest.get("heartbeat_seconds", 5)), daemon=True).start()
    for number, name in enumerate(manifest["visits"]):
        speaker.say("visit", visit=number, id=name)
        if name not in paths:  # a network in parts
            speaker.say("error", visit=number, id=name, message="no network runs in parts here", reason="no_parts")
            continue
        try:
            result = agent.visit(name, paths[name])
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(error, CaptureFailed) or not usable(agent):
                end_lost(reason)
            speaker.say("error", visit=number, id=name, message=reason)
        else:
            speaker.say("result", visit=number, id=name, **result)
    speaker.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
