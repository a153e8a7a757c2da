"""The blocks of a supernet's slots as graphs, recorded for each choice and shape, replayed in every later step.

A graph is bound to addresses. So every slot has a place for its input and one for its output, which is the input of the
slot behind; all slots share one for gradients; and every weight has a gradient that stays where it is, which
`weight.grad` is while a step uses it: what a step does not touch keeps no gradient, as without graphs. All else that a
slot's graphs allocate lies in one pool, where they use the same memory, since only one choice of a slot is between its
forward and its backward pass.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ofa.blocks import Block, steps_of
from ofa.networks.elastic import Normalise, Take, first, run_elastic
from ofa.networks.gpu.recording import Recorder, not_recorded
from ofa.training.graphs.places import Gradients, Place
from ofa.training.graphs.recorded import Recorded, autocast_dtype, form_of

MOST = 512  # recorded choices and shapes of a slot; of more, those go that were not used for longest


class SlotGraphs:
    """Runs the blocks of one network as `run_elastic`, most of them by replaying what was recorded.

    A block that is new, on tensors of a shape that is new, runs as without graphs: libraries begin and choose
    algorithms in a first run, which no recording may hold. The second time it is recorded and replayed. The classifier
    always runs as without graphs: dropout is random. So do convolutions of a map of one pixel. Results are the same to
    the bit.

    Every forward pass must be followed by its backward pass, once: RuntimeError if another forward pass came between.
    What blocks return is overwritten by the next forward pass, and only the network's blocks learn from it. The
    classifier's logits are as without graphs.

    net: whose children are the slots' layers, in their order
    largest: side of the largest images, pixels: nothing is recorded before a step with them has shown what memory it
        takes
    warn: told once, in a line, if some blocks run without graphs
    """

    def __init__(self, net: nn.Module, recorder: Recorder, largest: int, warn: Callable[[str], object]) -> None:
        self._net, self._recorder, self._largest, self._warn = net, recorder, largest, warn
        layers = list(net.children())
        self._begin = layers[0]
        # a slot that is skipped leaves its place to what passes it by: the output of a slot before
        places = itertools.pairwise(Place() for _ in range(len(layers) + 1))
        self._slots = {layer: _Slot(layer, *around) for layer, around in zip(layers, places, strict=True)}
        self._gradient = Place()  # of a block's output, then of its input, which is the output of the block before
        self._gradients: Gradients | None = None
        self._turn = _Turn()
        self._replayed: list[Recorded] = []  # one after the other
        self._head: Tensor | None = None  # what the first of them was given
        self._anchor: Tensor | None = None  # makes autograd ask for a gradient where the head, the images, has none
        self._coming = self._ready = self._warned = self._full = False

    def __call__(self, layer: nn.Module, x: Tensor, block: Block, normalise: Normalise, take: Take = first) -> Tensor:
        """As `run_elastic`; `normalise` and `take` must be the same in all calls."""
        if layer is self._begin:
            self._begin_pass(x.shape[-1])
        if not _is_recorded(block):
            return run_elastic(layer, self.linked(x), block, normalise, take)
        slot = self._slots[layer]
        key = (block, x.shape, x.stride(), x.dtype, x.requires_grad, torch.is_grad_enabled(), autocast_dtype(x))

        def run(x: Tensor) -> Tensor:
            return run_elastic(layer, x, block, normalise, take)

        recorded = slot.recorded.get(key) or self._record(slot, key, run, x)
        if recorded is None:
            return self._noted(slot, key, x, run(self.linked(x)))
        slot.recorded.move_to_end(key)
        out = recorded.run(x)
        if recorded.backward is None:
            return out
        if not self._replayed:
            self._head = x
        self._replayed.append(recorded)
        return out.requires_grad_()  # what is behind it is seen to learn; autograd is told of them all at once

    def _begin_pass(self, side: int) -> None:
        self._turn.number += 1
        self._ready = self._coming
        self._coming = self._coming or side >= self._largest
        if self._replayed:
            self._replayed = []
            raise RuntimeError("the last pass ended in a block that was replayed: it would not have learnt")

    def linked(self, x: Tensor) -> Tensor:
        """What replayed blocks gave, as autograd knows it."""
        if not self._replayed:
            return x
        head, replayed = self._head, self._replayed
        self._head, self._replayed = None, []
        if self._anchor is None:
            self._anchor = torch.empty(0, device=x.device, requires_grad=True)
        out: Tensor = _Replayed.apply(head, self._anchor, replayed, self._turn)  # type: ignore[no-untyped-call]
        return out

    def _noted(self, slot: _Slot, key: Hashable, x: Tensor, out: Tensor) -> Tensor:
        """The output of a block that ran without a graph; its sizes are known from now on."""
        if key not in slot.seen:
            slot.x.tell(x)
            slot.out.tell(out)
            self._gradient.tell(x)
            self._gradient.tell(out)
            form = form_of(out)
            if out.requires_grad:
                note = lambda grad: slot.seen.update({key: (form, form_of(grad))})  # noqa: E731
                out.register_hook(note)  # type: ignore[no-untyped-call]
            else:
                slot.seen[key] = form, form
        return out

    def _record(self, slot: _Slot, key: Hashable, run: Callable[[Tensor], Tensor], x: Tensor) -> Recorded | None:
        if self._full or not self._ready or slot.given_up or key not in slot.seen:
            return None
        if not self._recorder.has_room():
            self._full = True
            self._tell("the GPU's memory has no room for more CUDA graphs")
            return None
        try:
            self._make_places(slot, x)
            self._gradients = self._gradients or Gradients(self._net.parameters())
            places = slot.x, slot.out, self._gradient
            made = Recorded(self._recorder, slot.pool, slot.layer, run, x, places, self._gradients, slot.seen[key])
        except RuntimeError as error:  # no memory, or what cannot be recorded: nothing was done yet
            slot.given_up = True
            self._tell(not_recorded(error))
            return None
        slot.recorded[key] = made
        if len(slot.recorded) > MOST:
            self._recorder.settle()
            slot.recorded.popitem(last=False)
        return made

    def _make_places(self, slot: _Slot, x: Tensor) -> None:
        """Graphs that point to where a place was before are dropped: they would keep that memory."""
        moved = [place for place in (slot.x, slot.out) if place.moved(x.device)]
        everywhere = self._gradient.moved(x.device)
        touched = [of for of in self._slots.values() if everywhere or of.x in moved or of.out in moved]
        if any(of.recorded for of in touched):
            self._recorder.settle()
        for of in touched:
            of.recorded.clear()
        if not slot.recorded:
            slot.pool = self._recorder.pool()

    def _tell(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"{why}: some blocks run without, which is slower and as exact")


@lru_cache(maxsize=4096)
def _is_recorded(block: Block) -> bool:
    kinds = {step.kind for step in steps_of(block)}
    # a gradient of one pixel has a layout, and with it rounding, that depends on the choice of the block after
    return "linear" not in kinds and (block.out_size > 1 or "conv" not in kinds)


@dataclass
class _Turn:
    """The number of the forward pass whose tensors lie in the places."""

    number: int = 0


@dataclass(eq=False)
class _Slot:
    """A slot's layer, and what all its graphs share.

    seen: of what ran without a graph, by its key, the forms of the output and of its gradient
    """

    layer: nn.Module
    x: Place
    out: Place
    seen: dict[Hashable, tuple[Tensor, Tensor]] = field(default_factory=dict)
    recorded: OrderedDict[Hashable, Recorded] = field(default_factory=OrderedDict)
    pool: Any = None
    given_up: bool = False


class _Replayed(torch.autograd.Function):
    """Blocks replayed one after the other."""

    @staticmethod
    def forward(ctx: Any, _: Tensor, __: Tensor, replayed: list[Recorded], turn: _Turn) -> Tensor:
        ctx.replayed, ctx.turn, ctx.number = replayed, turn, turn.number
        return replayed[-1].out.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        if ctx.number != ctx.turn.number:
            raise RuntimeError("a block ran again before its backward pass: with CUDA graphs, what it kept is gone")
        ctx.number = 0
        for recorded in reversed(ctx.replayed):
            assert grad is not None
            grad = recorded.learn(grad)
        return grad, None, None, None
