"""What steps with graphs launch beside them: as little as can be, and gradients that are right all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ofa.training.graphs.places import ALIGNED, Gradients
from ofa.training.recipe import Stage
from tests.ofa.training.graphs.fake_recorder import FakeRecorder
from tests.ofa.training.graphs.short_training import SPACES, Never, Run


class Counted(TorchDispatchMode):
    """Counts operators by name, but for those of replays."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[str] = Counter()
        self.replaying = False

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        self.of[func._schema.name.removeprefix("aten::")] += not self.replaying
        return func(*args, **(kwargs or {}))


class Quiet(FakeRecorder):
    """What is replayed is not counted."""

    counted: Counted

    def record(self, work: Callable[[], object], pool: list) -> Callable[[], None]:  # type: ignore[type-arg]
        replay = super().record(work, pool)

        def quietly() -> None:
            self.counted.replaying = True
            replay()
            self.counted.replaying = False

        return quietly


def counts(stage: Stage, folder: Path, steps: int) -> list[Counter[str]]:
    """Of every step in which nothing was recorded."""
    recorder = Quiet()
    run = Run(SPACES["described"](), stage, recorder, resolutions=(40,), steps=steps)
    training, step = run.training(folder)
    found = []
    for images, labels in run.batches(0, steps):
        before, recorder.counted = len(recorder.recordings), Counted()
        with recorder.counted:
            training._one_step(images, labels, step, Never())  # type: ignore[arg-type]
        if before == len(recorder.recordings) > 0:
            found.append(recorder.counted.of)
    return found


def test_images_and_the_classifier_s_gradient_are_copied_and_gradients_cleared_at_once(tmp_path: Path) -> None:
    """Else every slot of the largest network takes its input, and a gradient, where its neighbour left it."""
    largest = Stage("largest", 1, 0.1, kernels=1, depths=1, expands=1)
    found = counts(largest, tmp_path, 5)
    assert len(found) == 3
    for of in found[1:]:
        assert (of["copy_"], of["zero_"], of["_foreach_zero_"]) == (2, 1, 0)


def test_what_passes_by_a_slot_that_is_skipped_is_copied(tmp_path: Path) -> None:
    """Behind none, one or both of the two units."""
    found = counts(Stage("any", 1, 0.1, kernels=1, expands=1), tmp_path, 16)
    assert {of["copy_"] for of in found[1:]} <= {2, 3, 4}
    assert len({of["copy_"] for of in found[1:]}) > 1


def weights() -> list[nn.Parameter]:
    shapes = (3, 5), (4, 3, 3, 3), (7,)
    made = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    made[1].data = made[1].data.contiguous(memory_format=torch.channels_last)
    return made


def test_a_place_is_laid_out_as_its_weight() -> None:
    a, b, c = weights()
    gradients = Gradients([a, c.requires_grad_(False), b])
    places = [gradients.of(weight).place for weight in (a, b)]
    assert [place.stride() for place in places] == [a.stride(), b.stride()]
    assert places[1].data_ptr() - places[0].data_ptr() == ALIGNED
    places[0].fill_(1)
    assert not places[1].any()


def test_gradients_are_added_up_in_a_step_and_begin_at_zero_in_the_next() -> None:
    a, b, c = weights()
    gradients = Gradients([a, b, c])
    of = [gradients.of(weight) for weight in (a, b, c)]

    def added(*which: int) -> None:
        gradients.give([of[n] for n in which])
        for n in which:
            of[n].place += 1

    def now() -> list[float | None]:
        return [None if weight.grad is None else float(weight.grad.mean()) for weight in (a, b, c)]

    def step() -> None:
        for weight in (a, b, c):
            weight.grad = None

    added(0, 1)
    added(1)
    assert now() == [1, 2, None]
    step()
    added(1, 2)
    assert now() == [None, 1, 1]
    step()
    added(0)
    c.grad = torch.full_like(c, 5.0)  # of a block that ran without a graph
    added(0, 2)
    assert now() == [2, None, 6]
    a.grad = None  # of one alone
    added(0, 1, 2)
    assert now() == [1, 1, 7]
    step()
    assert now() == [None] * 3
    before: list[Tensor] = [gradient.place.clone() for gradient in of]
    added(1)
    assert now() == [None, 1, None]
    assert [float(tensor.mean()) for tensor in before] == [1, 1, 7]
