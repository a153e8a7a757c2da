"""The GPU agent: its logic against fakes, and its protocol end to end on CPU tensors. No test here needs a GPU."""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from device_agents.cuda.agent import Agent, in_turn, prepared
from device_agents.cuda.device import CaptureFailed, Cpu, Cuda
from device_agents.cuda.model import read_torchscript
from device_agents.cuda.nvml import Nvml
from device_agents.cuda.timing import power_mw, take_samples, warm_up
from ofa.blocks import Block, all_blocks, blocks_of
from ofa.graph import network_graph
from ofa.graph.torch import build_torch, write_torchscript
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.conversation import local_agent
from profilers.measuring.drive import Driver
from profilers.measuring.events import AgentFailed, Event
from profilers.measuring.ledger import Ledger
from profilers.measuring.models import write_models
from profilers.measuring.plan import make_plan
from profilers.measuring.run import carry_out

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "device_agents" / "cuda"
BLOCK = Block("mbconv", 7, 8, 24, 8, 3, 1, "h_swish", True, True)
RULES = {
    "warmup_runs": 1, "warmup_seconds": 0, "warmup_max_seconds": 0.2, "settle": 0.5, "min_runs": 4, "max_runs": 12,
    "max_seconds": 5, "target_error": 0, "min_sample_us": 50,
}  # fmt: skip


def write_model(folder: Path, name: str, blocks: tuple[Block, ...] = (BLOCK,), batch: int = 2) -> None:
    graph = network_graph(blocks, batch=batch)
    (folder / f"{name}.pt").write_bytes(write_torchscript(graph))
    (folder / f"{name}.json").write_text(json.dumps({"input_shape": graph.input_shape}))


def manifest_of(**changes: object) -> dict:
    return {
        "protocol": 1, "runtime": "torch", "device": "cpu", "dtype": "fp32", "mode": "graph", "seed": 0,
        "memory_format": "channels-last", "inputs": "cold", "rules": RULES, "visits": ["a", "b", "a"],
        "models": [{"id": "a", "path": "a.pt"}, {"id": "b", "path": "b.pt"}], "something_newer": 1, **changes,
    }  # fmt: skip


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """A folder with nothing but the agent's folder and two models."""
    shutil.copytree(FOLDER, tmp_path / "device_agents" / "cuda", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("a", "b"):
        write_model(tmp_path, name)
    return tmp_path


def talk(folder: Path, code: int = 0, **changes: object) -> list[dict]:
    (folder / "manifest.json").write_text(json.dumps(manifest_of(**changes)))
    done = subprocess.run(
        [sys.executable, "-I", "device_agents/cuda/agent.py", "manifest.json"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return [event for event in map(json.loads, done.stdout.splitlines()) if event["type"] != "heartbeat"]


def test_it_imports_nothing_of_the_host() -> None:
    imported = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    ours = {name for name in imported if name.startswith("device_agents.cuda.")}
    assert {name.split(".")[0] for name in imported - ours} - set(sys.stdlib_module_names) == {"torch", "pynvml"}


def test_a_copy_of_its_folder_alone_makes_every_visit_and_a_broken_model_is_an_error(alone: Path) -> None:
    (alone / "b.pt").write_bytes(b"not a model")
    hello, *events, done = talk(alone)
    assert (hello["protocol"], hello["agent"]) == (1, "cuda")
    assert hello["runtime"] == f"torch {torch.__version__}"
    assert hello["device"]["nvml"] == "not to be had: this is a CPU"
    assert hello["device"]["energy_counter"] is None
    assert done["type"] == "done"
    assert [(e["type"], e["visit"], e["id"]) for e in events] == [
        (kind, number, name)
        for number, name in enumerate("aba")
        for kind in ("visit", "error" if name == "b" else "result")
    ]
    for r in (e for e in events if e["type"] == "result"):
        # target_error 0 is never reached: the rule on runs ends it
        assert RULES["max_runs"] <= len(r["samples_ns"]) < RULES["max_runs"] + 10
        assert min(r["samples_ns"]) > 0
        assert r["calls_per_sample"] >= 1
        assert r["cpu_ns"] is None
        assert (r["clock_mhz_before"], r["throttling"], r["other_processes"]) == (None, None, None)
        assert (r["input_buffers"], r["input_buffers_bytes"]) == (2, 2 * 4 * 2 * 8 * 7 * 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": 2}, "manifest is of protocol 2, this agent speaks 1"),
        ({"runtime": "tflite"}, "runtime is 'tflite', expected one of torch"),
        ({"dtype": "int8"}, "dtype is 'int8', expected one of fp32, tf32, fp16, bf16"),
        ({"mode": "fast"}, "mode is 'fast', expected one of graph, eager, compile"),
    ],
)
def test_a_manifest_it_cannot_follow_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepared(manifest_of(**changes))


def test_a_path_that_leaves_the_folder_is_one_error(alone: Path) -> None:
    (event,) = talk(alone, code=1, models=[{"id": "a", "path": "../a.pt"}])
    assert (event["type"], event["id"]) == ("error", None)
    assert "leaves the manifest's folder" in event["message"]


# ---- models


@pytest.mark.parametrize("space", ["mbv3-w0.35", "proxyless-w1.3", "resnet50d"])
def test_a_model_read_back_computes_the_same(tmp_path: Path, space: str) -> None:
    searched = get_space(space)
    chains = [
        blocks_of(searched, searched.decode(searched.sample(np.random.default_rng(0), 1, resolutions=[64]))[0]),
        all_blocks(searched, [64])[:1],
    ]
    for chain in chains:
        write_model(tmp_path, "m", chain)
        graph = network_graph(chain, batch=2)
        images = torch.randn(graph.input_shape, generator=torch.Generator().manual_seed(0))
        expected = build_torch(graph)(images)
        model = read_torchscript(tmp_path / "m.pt")
        assert torch.equal(model(images), expected)
        assert not list(model.parameters())
        # weights change their type and their layout with the module
        half = model.to(torch.bfloat16)
        assert {b.dtype for b in half.buffers()} == {torch.bfloat16}
        assert torch.allclose(
            half(images.bfloat16()).float(), expected, rtol=0.2, atol=0.1 * expected.abs().max().item()
        )


# ---- inputs


class WithCache(Cpu):
    l2_bytes = 1000


@pytest.mark.parametrize("memory_format", ["channels-last", "contiguous"])
def test_inputs_differ_and_together_exceed_the_cache(memory_format: str) -> None:
    agent = Agent(manifest_of(memory_format=memory_format), WithCache(torch.device("cpu")), Nvml(None, "", "none"))
    inputs = agent._inputs([2, 3, 4, 4])
    assert {tuple(i.shape) for i in inputs} == {(2, 3, 4, 4)}
    assert sum(i.nbytes for i in inputs[1:]) > 1000, "an input comes back before the cache has forgotten it"
    assert len({i.data_ptr() for i in inputs}) == len(inputs) == len({float(i.sum()) for i in inputs})
    layout = torch.channels_last if memory_format == "channels-last" else torch.contiguous_format
    assert all(i.is_contiguous(memory_format=layout) for i in inputs)
    assert len(agent._inputs([1, 1])) == 128  # at most
    agent.manifest["inputs"] = "warm"
    assert len(agent._inputs([2, 3, 4, 4])) == 1


def test_every_input_is_used_and_every_sample_has_as_many() -> None:
    inputs = [torch.tensor(float(i)) for i in range(5)]
    groups = [[int(i) for i in group] for group in in_turn(inputs, 2)]
    assert groups == [[0, 1], [2, 3], [4, 0]]
    assert [[int(i) for i in group] for group in in_turn(inputs[:2], 3)] == [[0, 1, 0]]


class Timed(Cpu):
    """Runs take what it is told they take."""

    def __init__(self, run_ns: int) -> None:
        super().__init__(torch.device("cpu"))
        self.run_ns, self.runs = run_ns, 0

    def timed(self, works, _):
        counts = []
        for work in works:
            before = self.runs
            work()
            counts.append(self.runs - before)
        return [self.run_ns * count for count in counts[1:]]


@pytest.mark.parametrize(
    ("run_ns", "calls", "samples"),
    [(2_000, 100, 10), (150_000, 2, 8), (500_000, 1, 5), (9_000_000, 1, 2), (10, 256, 10)],
)
def test_short_runs_share_a_sample_and_long_samples_come_in_small_batches(
    run_ns: int, calls: int, samples: int
) -> None:
    device = Timed(run_ns)
    agent = Agent(manifest_of(), device, Nvml(None, "", "none"))

    def model(_: torch.Tensor) -> None:
        device.runs += 1

    assert agent._sizes(model, torch.zeros(1), enough_ns=200_000) == (calls, samples)


def test_networks_have_few_graphs() -> None:
    # capturing a network 128 times over would take longer than timing it
    assert len(list(in_turn([torch.zeros(1)] * 128, 1))) == 16


def test_inputs_lie_as_allocations_do() -> None:
    # 2 * 3 * 5 * 5 halves are 300 bytes: another alignment than the network's tensors have is another cuDNN plan
    agent = Agent(manifest_of(dtype="fp16"), WithCache(torch.device("cpu")), Nvml(None, "", "none"))
    for shape in ([2, 3, 5, 5], [1, 3, 16, 16], [1, 1]):
        inputs = agent._inputs(shape)
        assert {(i.data_ptr() - inputs[0].data_ptr()) % 512 for i in inputs} == {0}
        assert len({float(i.sum()) for i in inputs[:2]}) == 2


class Cached(Timed):
    """A run of 40 us beside an L2 cache of 50 MB."""

    l2_bytes = 50 << 20

    def timed(self, works, meanwhile):
        times = super().timed(works, meanwhile)
        meanwhile()
        return [max(1, t) for t in times]


def cached_visit(folder: Path, batch: int, pixels: int, **changes: object) -> dict:
    """A visit of a model that computes next to nothing, on inputs of (batch, 40, pixels, pixels) halves."""
    device = Cached(40_000)
    agent = Agent(manifest_of(dtype="fp16", **changes), device, Nvml(None, "", "none"))
    (folder / "m.json").write_text(json.dumps({"input_shape": [batch, 40, pixels, pixels]}))

    class Model:
        graph = read_torchscript(folder / "a.pt").graph

        def __call__(self, _: torch.Tensor) -> None:
            device.runs += 1

    model = Model()
    agent._models["m"] = model, *agent._sizes(model, torch.zeros(1), 200_000)
    return agent.visit("m", folder / "m.pt")


def test_cold_inputs_exceed_the_whole_cache_or_are_called_warm(tmp_path: Path) -> None:
    write_model(tmp_path, "a")
    # 106 inputs of half a megabyte in samples of 5 runs: 16 graphs would hold 80 of them, 40 MB
    cold = cached_visit(tmp_path, 8, 28)
    assert (cold["inputs"], cold["calls_per_sample"]) == ("cold", 5)
    assert cold["input_buffers_bytes"] > Cached.l2_bytes
    small = cached_visit(tmp_path, 1, 7)
    assert (small["inputs"], small["input_buffers"]) == ("warm", 128)
    assert cached_visit(tmp_path, 8, 28, inputs="warm")["inputs"] == "warm"


def test_an_eager_model_uses_every_input(tmp_path: Path) -> None:
    write_model(tmp_path, "a")
    agent = Agent(manifest_of(mode="eager"), Cpu(torch.device("cpu")), Nvml(None, "", "none"))
    assert agent._most_graphs(lambda _: None, 1) == 128
    # a network of 400 operators is captured few times; a block as often as it takes
    agent.manifest["mode"] = "graph"
    network = type("Network", (), {"graph": type("Graph", (), {"nodes": range(400)})})()
    assert agent._most_graphs(network, 1) == 16
    network.graph.nodes = range(24)
    assert agent._most_graphs(network, 1) == 250


# ---- what is watched


def test_after_the_warm_up_the_driver_is_asked_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path, "a")

    class Ticking:
        """A millisecond passes whenever somebody looks."""

        now = 0

        def perf_counter_ns(self) -> int:
            self.now += 1_000_000
            return self.now

        monotonic_ns = perf_counter_ns

    class Asked(Nvml):
        clocks = reasons = lists = 0

        def clock_mhz(self) -> float:
            self.clocks += 1
            return 1980.0

        def throttling(self) -> list[str]:
            self.reasons += 1
            return ["power cap"]

        def processes(self) -> set[int]:
            self.lists += 1
            return {7}

    rules = {**RULES, "warmup_max_seconds": 0, "min_runs": 200, "max_runs": 200, "min_sample_us": 1}
    asked = Asked(None, "", "none")
    ticking = Ticking()
    monkeypatch.setattr("device_agents.cuda.agent.time", ticking)
    agent = Agent(manifest_of(rules=rules), Cpu(torch.device("cpu")), asked)
    for _ in range(3):
        result = agent.visit("a", tmp_path / "a.pt")
        assert (result["throttling"], result["other_processes"]) == (["power cap"], [7])
        assert (result["clock_mhz_before"], result["clock_mhz_after"]) == (1980.0, 1980.0)
        assert len(result["samples_ns"]) >= 200
    # every batch of at most 10 samples would ask 60 times and more; a list of processes takes milliseconds
    assert 3 <= asked.reasons <= ticking.now // 10_000_000 + 3
    assert asked.lists == 1
    ticking.now += 1_000_000_000
    agent.visit("a", tmp_path / "a.pt")
    assert asked.lists == 2


# ---- a capture that fails


class Graph:
    """Stands for torch.cuda.CUDAGraph: its capture cannot be ended, as often as it is told."""

    failures = 0

    def capture_begin(self, **_: object) -> None:
        pass

    def capture_end(self) -> None:
        if Graph.failures:
            Graph.failures -= 1
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture\nmore words")

    def replay(self) -> None:
        pass


def test_a_capture_that_cannot_be_ended_is_told_from_work_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    cuda = object.__new__(Cuda)
    cuda._pool = None
    monkeypatch.setattr(Cuda, "settle", lambda _: None)

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert cuda.recorded(lambda: None)
    with pytest.raises(torch.OutOfMemoryError):
        cuda.recorded(full)
    Graph.failures = 1
    with pytest.raises(CaptureFailed, match="the capture failed: OutOfMemoryError: CUDA out of memory"):
        cuda.recorded(full)
    Graph.failures = 1
    with pytest.raises(CaptureFailed, match="the capture failed: RuntimeError: CUDA error: operation failed"):
        cuda.recorded(lambda: None)


BROKEN = """
import sys
from device_agents.cuda import agent, device
real = agent.Agent._visit
def visit(self, name, path):
    if name == "{name}":
        {fault}
    return real(self, name, path)
agent.Agent._visit = visit
{more}
sys.exit(agent.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("fault", "more", "words"),
    [
        ("raise device.CaptureFailed('the capture failed: no')", "", "CaptureFailed: the capture failed: no"),
        (
            "raise RuntimeError('CUDA error: an illegal memory access\\nCompile with ...')",
            "def lost(self):\n    raise RuntimeError('the same')\ndevice.Cpu.free = lost",
            "RuntimeError: CUDA error: an illegal memory access",
        ),
    ],
)
def test_an_agent_whose_process_is_lost_ends_and_its_block_is_blamed_once(
    tmp_path: Path, fault: str, more: str, words: str
) -> None:
    chains = [(BLOCK,), (replace(BLOCK, stride=2, skip=False),), (replace(BLOCK, kernel_size=5),)]
    plan = make_plan(chains, 2, 0)
    files = write_models(plan.models, "torch", tmp_path, 1)
    bad = next(name for name in plan.models if name != plan.reference)
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(name=bad, fault=fault, more=more))
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); exec(open({str(script)!r}).read())",
    ]
    ends = []

    def start(manifest: Mapping[str, Any]) -> Iterator[Event]:
        try:
            yield from local_agent(command, tmp_path, manifest, 60)
        except AgentFailed:
            ends.append("died")
            raise
        ends.append("done")

    given = {key: value for key, value in manifest_of().items() if key not in ("models", "visits")}
    journal = Journal.create(tmp_path / "t.journal.jsonl", {})
    try:
        outcome = carry_out(Driver(Ledger(plan, journal), files, given, start, progress=lambda *_: None))
    finally:
        journal.close()
    assert outcome.failed == {bad: f"the agent exited with code 3; its last words: {words}"}
    assert set(outcome.results) == set(plan.models) - {bad}
    # on a busy machine another agent may have made visits again
    assert ends[:2] == ["died", "done"]
    assert "died" not in ends[1:]


# ---- memory


class Forgetful(Cpu):
    """Runs out of memory so often, as a GPU does."""

    def __init__(self, failures: int) -> None:
        super().__init__(torch.device("cpu"))
        self.failures, self.freed = failures, 0

    def recorded(self, work):
        if self.failures:
            self.failures -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB\nmore words")
        return work

    def free(self) -> None:
        self.freed += 1


def test_out_of_memory_frees_what_was_kept_and_tries_once_more(tmp_path: Path) -> None:
    write_model(tmp_path, "a")
    device = Forgetful(1)
    agent = Agent(manifest_of(), device, Nvml(None, "", "none"))
    assert agent.visit("a", tmp_path / "a.pt")["samples_ns"]
    assert (device.freed, list(agent._models)) == (1, ["a"])
    device = Forgetful(2)
    agent = Agent(manifest_of(), device, Nvml(None, "", "none"))
    with pytest.raises(MemoryError, match=r"^CUDA out of memory\. Tried to allocate 9 GiB$"):
        agent.visit("a", tmp_path / "a.pt")
    assert (device.freed, list(agent._models)) == (2, [])
    assert agent.visit("a", tmp_path / "a.pt")["samples_ns"], "the next visit is made"


# ---- when to stop


class Clock:
    """A clock that only the fakes move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def batches(clock: Clock, spread: int, seconds: float = 0.001):
    def batch() -> list[int]:
        clock.now += seconds
        return [1000 + spread * i for i in range(10)]

    return batch


def ran_until(medians: list[int], clocks: list[float | None], **rules: float) -> int:
    """How many batches the warm-up takes."""
    clock, told, made = Clock(), iter(clocks), 0

    def batch() -> list[int]:
        nonlocal made
        made += 1
        clock.now += 0.001
        return [medians[min(made, len(medians)) - 1]] * 10

    settling = {"warmup_runs": 0, "warmup_seconds": 0, "warmup_max_seconds": 0.5, "settle": 0.01, **rules}
    warm_up(batch, lambda: next(told, clocks[-1]), settling, clock)
    return made


def test_the_warm_up_ends_when_median_and_clock_of_two_batches_agree() -> None:
    assert ran_until([1000], [1980.0]) == 2
    assert ran_until([1200, 1100, 1000, 1001], [1980.0]) == 4
    assert ran_until([1000], [345.0, 1200.0, 1980.0, 1980.0]) == 4
    assert ran_until([1000], [None]) == 2
    assert ran_until([1000], [1980.0], warmup_runs=50) == 5
    assert ran_until([1000], [1980.0], warmup_seconds=0.0065) == 7


def test_a_clock_that_never_settles_does_not_hold_up_the_rest() -> None:
    assert ran_until([1000], [float(mhz) for mhz in range(100, 2000, 2)], warmup_max_seconds=0.01) == 10


def test_samples_are_taken_until_the_median_is_known_or_the_time_is_up() -> None:
    rules = {"min_runs": 20, "max_runs": 50, "max_seconds": 1, "target_error": 0.001}
    clock = Clock()
    steady = take_samples(batches(clock, spread=0), rules, clock)
    assert len(steady) == 20
    unsteady = take_samples(batches(clock, spread=100), rules, clock)
    assert len(unsteady) == 50
    late = take_samples(batches(clock, spread=100, seconds=0.4), rules, clock)
    assert len(late) == 30


# ---- energy


def counter(clock: Clock, watts: float, step_s: float, before_w: float):
    """A counter that moves every `step_s`, each time by the power of the step before: it lags."""

    def read() -> float:
        clock.now += 0.0001  # a reading takes its time
        steps = int(clock.now / step_s)
        return float(int(1000 * step_s * (min(steps, 2) * before_w + max(0, steps - 2) * watts)))

    return read


@pytest.mark.parametrize("step_s", [0.001, 0.02, 0.1])
def test_power_is_read_between_steps_of_the_counter(step_s: float) -> None:
    clock = Clock()
    busy = 0

    def keep_busy() -> None:
        nonlocal busy
        busy += 1
        clock.now += 0.0004

    found = power_mw(counter(clock, 250.0, step_s, before_w=60.0), keep_busy, 0.3, clock)
    assert found is not None
    power, error, seconds = found
    # 250 W are 250 mJ a millisecond; the steps that reach back to the other load are left out
    assert power == pytest.approx(250_000, rel=0.004)
    assert abs(power - 250_000) <= error < 0.005 * power
    assert 0.3 <= seconds < 0.3 + 2 * step_s
    assert busy > 100


def test_a_counter_that_stands_still_or_fails_gives_no_energy() -> None:
    clock = Clock()
    assert power_mw(lambda: 7.0, lambda: setattr(clock, "now", clock.now + 0.1), 0.3, clock) is None
    assert power_mw(lambda: None, lambda: None, 0.3) is None


def test_energy_is_power_times_time_once_a_model(tmp_path: Path) -> None:
    write_model(tmp_path, "a")

    class Counting(Nvml):
        read = 0.0

        def energy_mj(self) -> float:
            self.read += 5
            return self.read

    agent = Agent(manifest_of(energy_seconds=0.02), Cpu(torch.device("cpu")), Counting(None, "", "none"))
    first, second = (agent.visit("a", tmp_path / "a.pt") for _ in range(2))
    assert first["energy_error_mj"] > 0
    assert first["energy_seconds"] >= 0.02
    assert first["energy_mj"] > 0
    assert "energy_mj" not in second


# ---- NVML


class Library:
    """Stands for the module pynvml."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.nvmlInit = lambda: self.answer("init", None)
        self.nvmlSystemGetNVMLVersion = lambda: "13.580"
        self.nvmlSystemGetDriverVersion = lambda: "580.1"

    def answer(self, name: str, otherwise: object) -> object:
        found = self.answers.get(name, otherwise)
        if isinstance(found, Exception):
            raise found
        return found

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        assert uuid == "GPU-12-34"
        return "handle"

    def __getattr__(self, name: str):
        def function(*arguments: object) -> object:
            assert arguments[0] == "handle"
            return self.answer(name, self.NVMLError("not supported"))

        return function


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid


def test_what_the_driver_tells() -> None:
    library = Library(
        nvmlDeviceGetClockInfo=1980,
        nvmlDeviceGetTotalEnergyConsumption=123456,
        nvmlDeviceGetCurrentClocksThrottleReasons=0x1 | 0x4 | 0x40,
        nvmlDeviceGetComputeRunningProcesses=[Process(11), Process(12)],
        nvmlDeviceGetEnforcedPowerLimit=700_000,
    )
    nvml = Nvml(library, "12-34")
    assert nvml.missing is None
    assert nvml.clock_mhz() == 1980
    assert nvml.temperature_c() is None, "what cannot be read is null"
    assert nvml.energy_mj() == 123456
    assert nvml.throttling() == ["power cap", "hardware thermal"], "an idle GPU is not throttled"
    assert nvml.other_processes() == [11, 12]
    nvml.ours = {12}
    assert nvml.other_processes() == [11]
    facts = nvml.facts()
    assert (facts["nvml"], facts["driver"], facts["power_limit_w"]) == ("13.580", "580.1", 700.0)
    assert facts["energy_counter"].startswith("NVML")


def test_a_driver_without_nvml_tells_nothing_and_says_why() -> None:
    nvml = Nvml(Library(init=Library.NVMLError("Driver Not Loaded")), "12-34")
    facts = nvml.facts()
    assert facts["nvml"] == "not to be had: Driver Not Loaded"
    assert {value for key, value in facts.items() if key != "nvml"} == {None}
    assert (nvml.throttling(), nvml.processes()) == (None, None)


def test_a_newer_driver_calls_the_reasons_otherwise() -> None:
    nvml = Nvml(Library(nvmlDeviceGetCurrentClocksEventReasons=0x20), "12-34")
    assert nvml.throttling() == nvml.throttling() == ["software thermal"]
    assert Nvml(Library(), "12-34").throttling() is None


def test_what_a_library_does_not_know_is_null() -> None:
    class Old(Library):
        def __getattr__(self, name: str):
            if name in ("nvmlDeviceGetTotalEnergyConsumption", "nvmlSystemGetDriverVersion"):
                raise AttributeError(name)
            return super().__getattr__(name)

    old = Old(nvmlDeviceGetTemperature=40)
    del old.nvmlSystemGetDriverVersion
    nvml = Nvml(old, "12-34")
    assert (nvml.temperature_c(), nvml.energy_mj(), nvml.facts()["driver"]) == (40, None, None)


def test_a_mig_slice_is_found_by_its_own_name_and_asks_its_gpu_for_the_clock() -> None:
    class Sliced:
        class NVMLError(Exception):
            pass

        NVML_CLOCK_SM = 1
        nvmlInit = staticmethod(lambda: None)

        def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
            if uuid != "MIG-12-34":
                raise self.NVMLError("Not Found")
            return "slice"

        nvmlDeviceGetDeviceHandleFromMigDeviceHandle = staticmethod(lambda handle: {"slice": "gpu"}[handle])
        nvmlDeviceGetClockInfo = staticmethod(lambda handle, _: {"gpu": 1410}[handle])
        nvmlDeviceGetComputeRunningProcesses = staticmethod(lambda handle: {"slice": [Process(5)]}[handle])
        nvmlDeviceGetTotalEnergyConsumption = staticmethod(lambda _: 1)

    for uuid in ("12-34", "GPU-12-34", "MIG-12-34"):
        nvml = Nvml(Sliced(), uuid)
        assert (nvml.missing, nvml.clock_mhz(), nvml.processes()) == (None, 1410, {5})
        assert nvml.energy_mj() is None, "the counter is of the whole board"
    assert Nvml(Sliced(), "56-78").missing == "Not Found"


def test_the_real_library_without_a_driver_is_no_fault() -> None:
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert Nvml(pynvml, "12-34").missing
    else:
        pytest.skip("there is an NVIDIA driver")
