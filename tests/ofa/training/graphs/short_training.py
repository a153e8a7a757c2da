"""A short training on the CPU, with graphs by a recorder that stands in CUDA's place, or without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ofa.networks import build_supernet
from ofa.networks.elastic import run_elastic
from ofa.runs.processes import Processes
from ofa.space import SearchSpace, get_space
from ofa.training.draws import Draws
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.loop import Training
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from ofa.training.schedule import Plan
from ofa.training.step import SupernetStep, supernet_run
from tests.helpers.supernets import TINY, lively
from tests.ofa.training.graphs.fake_recorder import FakeRecorder

CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)
SPACES = {
    "described": lambda: get_space(str(TINY), 7),
    "mbv3": lambda: get_space("mbv3-w0.25", 7),
    "resnet": lambda: get_space("resnet50d", 7, (0.1, 0.15)),
}
STAGES = {
    "one": Stage("one", 1, 0.1, subnets=1),
    "sandwich": Stage("sandwich", 1, 0.05, subnets=3, sandwich=True),
    "taught": Stage("taught", 1, 0.05, subnets=2, distill=1.0),
}
TWO = Stage("two", 1, 0.05, subnets=2)


@dataclass
class Run:
    """A training of so many steps, each process on images of its own.

    recorder: of graphs, if there are any; largest: side that graphs wait for
    """

    space: SearchSpace
    stage: Stage
    recorder: FakeRecorder | None = None
    precision: str = "fp32"
    resolutions: tuple[int, ...] = (40, 32)
    steps: int = 8
    largest: int = 40
    clip_norm: float = 0.0
    seed: int = 3
    procs: Processes = ALONE
    warnings: list[str] = field(default_factory=list)
    graphs: list[SlotGraphs] = field(default_factory=list)

    def training(self, folder: Path) -> tuple[Training, SupernetStep]:
        net = lively(self.space).train()
        how = Precision(self.precision, CPU)
        if how.scaler is not None:
            how.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
        torch.manual_seed(1)
        teacher = build_supernet(self.space, 0.0).requires_grad_(False) if self.stage.distill else None
        plan = Plan(1, self.steps, 0.02, weight_decay=0.01, clip_norm=self.clip_norm, ema=0.5)
        if self.recorder:
            nets = [net] if teacher is None else [net, teacher]
            self.graphs = [SlotGraphs(of, self.recorder, self.largest, self.warnings.append) for of in nets]
        blocks, taught = (self.graphs or [run_elastic])[0], (self.graphs or [run_elastic])[-1]
        draws = Draws(self.space, self.stage, self.resolutions, self.seed)
        step = SupernetStep(supernet_run(net, None, blocks), self.stage, draws, how, teacher, run_teacher=taught)
        return Training(net, plan, folder, {}, self.procs, precision=how), step

    def batches(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor]]:
        for n in range(first, last):
            generator = torch.Generator().manual_seed(n + 1000 * self.procs.rank)
            side = Draws(self.space, self.stage, self.resolutions, self.seed).resolution(n)
            yield torch.randn(4, 3, side, side, generator=generator), torch.arange(4)


class Never:
    def is_set(self) -> bool:
        return False


def left_by(training: Training) -> dict[str, Tensor]:
    """Weights, statistics, momentum, averages, gradients, and the sums of losses."""
    found = {
        **training.net.state_dict(),
        "sums": training._sums,
        **{f"ema {k}": v for k, v in training._average.items()},
    }
    for name, parameter in training.net.named_parameters():
        found[f"momentum {name}"] = training.optimizer.state[parameter]["momentum_buffer"]
        if parameter.grad is not None:
            found[f"grad {name}"] = parameter.grad
    return {name: tensor.clone() for name, tensor in found.items()}


def trained(run: Run, folder: Path, first: int = 0, last: int | None = None) -> dict[str, Tensor]:
    """What steps leave, from the checkpoint in the folder on, if there is one."""
    training, step = run.training(folder)
    training.resume()
    for images, labels in run.batches(first, run.steps if last is None else last):
        training._one_step(images, labels, step, Never())  # type: ignore[arg-type]
    training.save()
    return left_by(training)
