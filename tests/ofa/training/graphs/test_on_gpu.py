"""CUDA graphs of blocks on a GPU: the same training as without. docs/gpus.md says what of it ran, and on what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa.networks import build_supernet
from ofa.networks.elastic import run_elastic
from ofa.networks.gpu.recording import Cuda
from ofa.networks.layers import use_memory_format
from ofa.runs.processes import Processes
from ofa.space import get_space
from ofa.training.draws import Draws
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.loop import Training
from ofa.training.precision import Precision, chosen_layout
from ofa.training.recipe import Stage
from ofa.training.schedule import Plan
from ofa.training.step import SupernetStep, supernet_run

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here"),
]
DEVICE = torch.device("cuda", 0)
STEPS, BATCH, SIDES = 12, 16, (96, 64)
ONE = Stage("one", 1, 0.1)
TAUGHT = Stage("taught", 1, 0.1, subnets=3, distill=1.0)
SANDWICH = Stage("sandwich", 1, 0.1, subnets=3, sandwich=True)


class Never:
    """No signal comes."""

    def is_set(self) -> bool:
        return False


class Watched(Cuda):
    """Counts recordings; broken: those that fail, by their number, because of work that no capture may hold."""

    def __init__(self, device: torch.device, broken: frozenset[int] = frozenset()) -> None:
        super().__init__(device)
        self.broken, self.recorded, self.replayed, self.bytes = broken, 0, 0, 0

    def record(self, work: Any, pool: Any) -> Any:
        number, self.recorded = self.recorded, self.recorded + 1

        def doomed() -> None:
            work()
            torch.cuda.synchronize()

        before = pool.bytes
        replay = super().record(doomed if number in self.broken else work, pool)
        self.bytes += pool.bytes - before

        def counted() -> None:
            self.replayed += 1
            replay()

        return counted


def trained(
    folder: Path,
    stage: Stage,
    recorder: Cuda | None,
    *,
    precision: str = "bf16",
    layout: str = "auto",
    steps: int = STEPS,
    sides: tuple[int, ...] = SIDES,
    warnings: list[str] | None = None,
) -> dict[str, Tensor]:
    """Weights, statistics, momentum and gradients that steps of different networks and resolutions leave."""
    space = get_space("mbv3-w0.25", 10)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    net, teacher = build_supernet(space, 0.1), build_supernet(space, 0.0).requires_grad_(False)
    for network in (net, teacher):
        use_memory_format(network, chosen_layout(layout, DEVICE))
    how = Precision(precision, DEVICE)
    plan = Plan(1, 10**6, 0.05, weight_decay=0.01, clip_norm=5.0)
    training = Training(net, plan, folder, {}, Processes(0, 1, DEVICE), precision=how)
    said = [] if warnings is None else warnings
    blocks, taught = (
        SlotGraphs(of, recorder, max(sides), said.append) if recorder else run_elastic for of in (net, teacher)
    )
    draws = Draws(space, stage, sides, 1)
    given = teacher.to(DEVICE) if stage.distill else None
    step = SupernetStep(supernet_run(net, None, blocks), stage, draws, how, given, run_teacher=taught)
    for images, labels in batches(draws, steps):
        training._one_step(images, labels, step, Never())  # type: ignore[arg-type]
    found = dict(net.state_dict())
    for name, weight in net.named_parameters():
        found[f"momentum {name}"] = training.optimizer.state[weight]["momentum_buffer"]
        if weight.grad is not None:
            found[f"grad {name}"] = weight.grad
    return {name: tensor.cpu().clone() for name, tensor in found.items()}


def batches(draws: Draws, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    for n in range(steps):
        generator, side = torch.Generator().manual_seed(n), draws.resolution(n)
        yield torch.randn(BATCH, 3, side, side, generator=generator), torch.arange(BATCH) % 10


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def compare(folder: Path, stage: Stage, **kind: Any) -> None:
    expected = trained(folder / "a", stage, None, **kind)
    assert differing(trained(folder / "b", stage, None, **kind), expected) == []  # else nothing can be compared
    recorder, warnings = Watched(DEVICE), []
    found = trained(folder / "c", stage, recorder, warnings=warnings, **kind)
    assert warnings == []
    assert recorder.replayed > 100
    assert differing(found, expected) == []


@pytest.mark.parametrize("stage", [ONE, TAUGHT, SANDWICH], ids=lambda stage: stage.name)
def test_training_is_the_same_to_the_bit(stage: Stage, tmp_path: Path) -> None:
    """In bf16, in the usual layout."""
    compare(tmp_path, stage)


def test_a_capture_that_fails_changes_no_result_and_others_go_on(tmp_path: Path) -> None:
    """A forward and a backward pass; dropout of later steps draws as before."""
    expected = trained(tmp_path / "a", ONE, None)
    recorder, warnings = Watched(DEVICE, frozenset({2, 6})), []
    found = trained(tmp_path / "b", ONE, recorder, warnings=warnings)
    assert [text.partition("(")[0] for text in warnings] == ["a CUDA graph could not be recorded "]
    assert recorder.replayed > 100
    assert differing(found, expected) == []
    torch.cuda.synchronize()
    torch.cuda.empty_cache()  # would be refused while the allocator believed that it still captures


class Unshared(Watched):
    """Gives each pair of a forward and a backward pass a pool of its own."""

    def record(self, work: Any, _: Any) -> Any:
        if self.recorded % 2 == 0:
            self.last = self.pool()
        return super().record(work, self.last)


def test_choices_of_a_slot_share_their_memory(tmp_path: Path) -> None:
    bytes_of = {}
    for kind in (Watched, Unshared):
        recorder = kind(DEVICE)
        trained(tmp_path / kind.__name__, ONE, recorder, steps=60, sides=(64,))
        bytes_of[kind] = recorder.bytes
    assert bytes_of[Watched] < 0.6 * bytes_of[Unshared]


def test_graphs_that_are_gone_give_their_memory_back(tmp_path: Path) -> None:
    trained(tmp_path / "a", ONE, None)
    Cuda(DEVICE)  # products of matrices keep memory on its stream
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    trained(tmp_path / "b", ONE, Cuda(DEVICE))
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < before + (64 << 20)


@pytest.mark.parametrize(("precision", "layout"), [("fp32", "auto"), ("fp16", "auto"), ("bf16", "contiguous")])
def test_so_it_is_in_other_types_and_layouts(precision: str, layout: str, tmp_path: Path) -> None:
    """Of one network at one resolution, at the end: in some, cuDNN may take a second to plan a shape."""
    largest = Stage("largest", 1, 0.1, kernels=1, depths=1, expands=1)
    compare(tmp_path, largest, precision=precision, layout=layout, steps=6, sides=(64,))
