"""A supernet's training, stage after stage. A killed run goes on in the stage and epoch that it was in.

The run's folder: run.json (what it is), 1-largest, 2-kernel ... (a folder a stage: checkpoint.safetensors while it
lasts, metrics.jsonl, supernet.safetensors when it is over), metrics.jsonl (of all stages), supernet.safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ofa.checkpoints.opening import open_supernet
from ofa.checkpoints.weights import load_checkpoint, read_facts, save_checkpoint, save_network
from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.images.pixels.augment import derived_seed
from ofa.networks import PlainNetwork, Supernet, build_plain, build_supernet, extract
from ofa.networks.elastic import Normalise, RunBlock, run_elastic
from ofa.networks.gpu.recording import Cuda
from ofa.networks.layers import use_memory_format
from ofa.networks.new_classifier import with_new_classifier
from ofa.networks.sorting import sort_channels
from ofa.networks.statistics import batch_statistics
from ofa.reading.numbers import Bounds
from ofa.reading.structured import as_object, need, read_json
from ofa.runs.files import replace_file, write_json
from ofa.runs.lock import Lock
from ofa.runs.processes import Processes
from ofa.runs.settings import Difference
from ofa.space import SearchSpace, Subnet
from ofa.training.checkup import Checkup
from ofa.training.draws import Draws
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.graphs.trial import graphs_work
from ofa.training.loop import METRICS, Training
from ofa.training.precision import Precision
from ofa.training.recipe import RATE_IMAGES, Stage, as_json
from ofa.training.schedule import Plan
from ofa.training.state import CHECKPOINT
from ofa.training.step import SupernetStep, supernet_run
from ofa.training.supply import Supply

Net = TypeVar("Net", Supernet, PlainNetwork)
COUNTED = Bounds(0, 255, "choices")
RUN, RESULT, NETWORK = "run.json", "supernet.safetensors", "network"


@dataclass(frozen=True)
class Hyper:
    """What all stages share.

    batch_size: images a step, of each process; learning rates are proportional to those of all processes
    rate_scale: a factor on every stage's learning rate
    class_weights: of the loss against labels, one a class; None for equal ones
    The others as of `Plan` and `SupernetStep`.
    """

    batch_size: int = 64
    rate_scale: float = 1.0
    weight_decay: float = 3e-5
    label_smoothing: float = 0.1
    dropout: float = 0.1
    clip_norm: float = 0.0
    ema: float = 0.0
    seed: int = 0
    class_weights: tuple[float, ...] | None = None


@dataclass(eq=False)
class SupernetTraining:
    """Everything a run needs; `run` does it.

    resolutions: pixels, one of them a step
    settings: what makes the run what it is, beside stages and hyper-parameters: a run continues only with the same
    facts: what the result's metadata says of its training; images: and of the images it was trained on
    memory_format: the layout of weights and images; it changes rounding and speed alone
    graphs: whether blocks are replayed as CUDA graphs, which changes speed alone; warn: told in a line what is slower
    start: a supernet checkpoint to begin with, rather than random weights; new_classes: all but its classifier
    teacher: one to distil from (default: `start`, or what the first stage results in)
    alone: the sub-network that is trained on its own, as an ordinary network
    check_every: epochs between two check-ups; the last epoch of a stage always has one
    """

    space: SearchSpace
    resolutions: tuple[int, ...]
    stages: Sequence[Stage]
    hyper: Hyper
    out: Path
    supply: Supply
    checkup: Checkup
    procs: Processes
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    images: ImageFacts | None = None
    precision: str = "fp32"
    memory_format: torch.memory_format = torch.channels_last
    normalise: Normalise | None = None
    graphs: bool = False
    start: Path | None = None
    new_classes: bool = False
    teacher: Path | None = None
    alone: Subnet | None = None
    check_every: int = 1
    _lock: Lock | None = field(default=None, init=False)
    on_step: Callable[[int, int], None] = lambda *_: None
    on_epoch: Callable[[Stage, Mapping[str, Any]], None] = lambda *_: None
    warn: Callable[[str], object] = lambda _: None

    @property
    def steps_per_epoch(self) -> int:
        return len(self.supply.indices) // (self.hyper.batch_size * self.procs.count)

    def plan(self, stage: Stage) -> Plan:
        """The stage's numbers for this batch size and number of processes."""
        h = self.hyper
        factor = h.rate_scale * h.batch_size * self.procs.count / RATE_IMAGES
        return Plan(
            epochs=stage.epochs,
            steps_per_epoch=self.steps_per_epoch,
            learning_rate=stage.learning_rate * factor,
            final_rate=stage.final_rate * factor,
            warmup_epochs=stage.warmup_epochs,
            weight_decay=h.weight_decay,
            seed=h.seed,
            clip_norm=h.clip_norm,
            ema=h.ema,
        )

    def check_batches(self) -> None:
        """InputError where there are not enough images for one step."""
        if self.steps_per_epoch < 1:
            needed = f"{self.hyper.batch_size} x {self.procs.count} processes"
            raise InputError(
                f"{len(self.supply.indices)} training images are fewer than a batch of {needed}: give a smaller "
                "--batch-size, or hold out fewer"
            )

    def open(self, resume: bool) -> None:
        """Begins a run, or takes one up, and holds its folder until `close`.

        InputError where there is one already, it is another, naming how, or another process is at it.
        """
        if self.procs.rank == 0:
            self._lock = Lock(self.out)
        try:
            self._open(resume)
        except BaseException:
            self.close()
            raise

    def _open(self, resume: bool) -> None:
        now = dict(self.settings)
        path = self.out / RUN
        if path.exists():
            if not resume:
                raise InputError(f"{self.out} already has a run: continue it with --resume, or choose another --out")
            before = read_json(path)
            if different := Difference.between(before, now):
                way_out = different.way_out("name another --out")
                raise InputError(f"{self.out} was begun {different.words('this run')}: {way_out}")
        self.procs.wait()
        if self.procs.rank == 0:
            write_json(path, now)
        self.procs.wait()

    def close(self) -> None:
        """Gives the folder back."""
        if self._lock is not None:
            self._lock.release()

    def run(self) -> bool:
        """Trains all stages: True; or until SIGTERM or Ctrl-C: False. `open` it first."""
        self.check_batches()
        net = self._new_network()
        for i, stage in enumerate(self.stages):
            folder = self.out / f"{i + 1}-{stage.name}"
            result = folder / RESULT
            if result.exists():
                load_checkpoint(net, result)
                continue
            if isinstance(net, Supernet) and not folder.joinpath(CHECKPOINT).exists():
                self._widen(net, i)
            if not self._stage(net, i, stage, folder):
                return False
        if self.procs.rank == 0:
            if isinstance(net, Supernet):
                save_checkpoint(net, self.out / RESULT, facts=self.facts, images=self.images)
            else:
                self.checkup.finish(net)
                save_network(net.cpu(), self.out / NETWORK, self.images)
        self.procs.wait()
        return True

    def _new_network(self) -> Supernet | PlainNetwork:
        """The same in every process."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derived_seed(self.hyper.seed, 2))
            net = build_supernet(self.space, self.hyper.dropout, self.resolutions)
            if self.start is not None:
                load_start(net, self.start, self.hyper.seed, new_classes=self.new_classes)
            if self.alone is None:
                return self._placed(net)
            plain = extract(net, self.alone)
            plain.spec = replace(plain.spec, calibrated=True)
            if self.start is None:
                plain = build_plain(plain.spec)
            return self._placed(plain.train())

    def _placed(self, net: Net) -> Net:
        """The network on its device, in the layout asked for."""
        use_memory_format(net, self.memory_format)
        return net.to(self.procs.device)

    def _widen(self, net: Supernet, i: int) -> None:
        """Sorts channels where stage i adds narrower layers; what is trained already keeps its outputs."""
        if i > 0:
            trained = self.stages[i - 1].supported(self.space)
        elif self.start is not None:
            trained = trained_choices(self.space, self.start)
        else:
            return  # nothing is trained yet
        if trained != self.stages[i].supported(self.space):
            sort_channels(net, *trained)

    def _stage(self, net: Supernet | PlainNetwork, i: int, stage: Stage, folder: Path) -> bool:
        draws = Draws(self.space, stage, self.resolutions, self.hyper.seed, i, self.alone)
        precision = Precision(self.precision, self.procs.device)

        def describe(number: int, k: int) -> str:
            subnet = draws.subnets(number)[k]
            return f"sub-network {k + 1} of stage {stage.name}, {json.dumps(subnet.to_dict())},"

        plan = self.plan(stage)
        training = Training(
            net, plan, folder, {"stage": i, **as_json([stage])[0]}, self.procs, precision=precision, describe=describe
        )
        training.resume()
        teacher, run_block = self._teaching(i, stage), self._run_blocks(net, precision, stage)
        run = _plain_run(net) if isinstance(net, PlainNetwork) else supernet_run(net, self.normalise, run_block(net))
        dropout = net.get_submodule("classifier.dropout")
        assert isinstance(dropout, nn.Dropout)
        dropout.p = 0.0 if stage.sandwich else self.hyper.dropout
        weights = self.hyper.class_weights
        step = SupernetStep(
            run,
            stage,
            draws,
            precision,
            teacher,
            self.hyper.label_smoothing,
            None if weights is None else torch.tensor(weights, device=self.procs.device),
            self.normalise or batch_statistics,
            run_elastic if teacher is None else run_block(teacher),
        )
        ends = draws.ends()

        def batches(epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
            at = epoch * plan.steps_per_epoch
            seed = derived_seed(self.hyper.seed, 3, i)
            return self.supply.batches(epoch, first, seed, lambda n: draws.resolution(at + n))

        def validate() -> dict[str, Any]:
            epoch = training.epoch + 1
            due = epoch % self.check_every == 0 or epoch == plan.epochs
            found = self.checkup(net, ends) if due else {}
            return {"stage": stage.name, **found}

        def epoch_over(metrics: Mapping[str, Any]) -> None:
            self._gather_metrics()
            self.on_epoch(stage, metrics)

        done = training.run(batches, step, validate=validate, on_step=lambda n: self.on_step(i, n), on_epoch=epoch_over)
        if done:
            training.finish()
            if self.procs.rank == 0:
                save_checkpoint(net, folder / RESULT, facts=self.facts, images=self.images)
                with suppress(FileNotFoundError):
                    training.checkpoint.unlink()
            self.procs.wait()
        return done

    def _run_blocks(self, net: nn.Module, precision: Precision, stage: Stage) -> Callable[[Supernet], RunBlock]:
        """Makes what runs the blocks of a network during a stage."""
        if not self.graphs or not isinstance(net, Supernet):
            return lambda _: run_elastic
        recorder = Cuda(self.procs.device)
        if not graphs_work(net, recorder, precision, stage, min(self.resolutions), self.normalise):
            self.warn("CUDA graphs give other gradients here than blocks without: none are used, which is slower")
            return lambda _: run_elastic
        return lambda of: SlotGraphs(of, recorder, max(self.resolutions), self.warn)

    def _teaching(self, i: int, stage: Stage) -> Supernet | None:
        if stage.sandwich or not stage.distill:
            return None
        # with another classifier, the network that is begun with says nothing of these classes
        start = None if self.new_classes or (stage.teacher == "previous" and i > 0) else self.start
        path = self.teacher or start
        if path is None:
            if i == 0:
                raise InputError(f"stage {stage.name} distils, but nothing comes before it: give --teacher FILE")
            before = 0 if stage.teacher == "first" else i - 1
            path = self.out / f"{before + 1}-{self.stages[before].name}" / RESULT
        teacher = Supernet(self.space, 0.0)
        load_checkpoint(teacher, path)
        return self._placed(teacher.requires_grad_(False))

    def _gather_metrics(self) -> None:
        """The metrics of all stages so far, in one file."""
        if self.procs.rank == 0:
            files = [self.out / f"{i + 1}-{stage.name}" / METRICS for i, stage in enumerate(self.stages)]
            text = "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
            replace_file(
                self.out / METRICS, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n")
            )


def load_start(net: Supernet, path: Path, seed: int, *, new_classes: bool) -> None:
    """Fills the network with a supernet's file: all of it, or with `new_classes` all but its classifier, drawn anew."""
    if not new_classes:
        load_checkpoint(net, path)
        return
    given = open_supernet(path, net.space.name)
    net.load_state_dict(with_new_classifier(given, net.space.num_classes, derived_seed(seed, 5)).state_dict())


def trained_choices(space: SearchSpace, path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The expand ratios and width multipliers that a supernet's file was trained at.

    By the last stage that its metadata names; where it names none, the largest alone (so with MIT's teachers).
    """
    facts, where = read_facts(path), f"{path}: damaged metadata"
    stages = need(facts, "stages", list, where) if facts.get("stages") else [{"expands": 1, "widths": 1}]
    last = as_object(stages[-1], f"{where}: the last stage")
    expands, widths = (COUNTED.whole(f"{where}: {key}", last.get(key, 0)) for key in ("expands", "widths"))
    return Stage("trained", 1, 1.0, expands=expands, widths=widths).supported(space)


def _plain_run(net: PlainNetwork) -> Callable[[Tensor, Subnet], Tensor]:
    def run(images: Tensor, _: Subnet) -> Tensor:
        logits: Tensor = net(images)
        return logits

    return run
