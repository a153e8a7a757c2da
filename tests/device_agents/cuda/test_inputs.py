"""The inputs of a visit: that they differ, exceed the cache, lie as allocations do, and fill samples."""

import json
from pathlib import Path

import pytest
import torch

from device_agents.cuda.device import Cpu
from device_agents.cuda.model import read_torchscript
from device_agents.cuda.nvml import Nvml
from device_agents.cuda.torch_visits import Agent, in_turn
from tests.device_agents.cuda.manifests import manifest_of, write_model


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
