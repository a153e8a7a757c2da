"""The blocks of a supernet's slots as graphs, recorded for each choice and shape, replayed in every later step.

A graph is bound to addresses. So every slot has a place for its input and one for its output, all slots share one for
gradients, and every weight has a gradient that stays where it is, which `weight.grad` is while a step uses it: what a
step does not touch keeps no gradient, as without graphs. All else that a slot's graphs allocate lies in one pool, where
they use the same memory, since only one choice of a slot is between its forward and its backward pass.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ofa.blocks import Block, steps_of
from ofa.networks.elastic import Normalise, Take, first, run_elastic
from ofa.networks.gpu.recording import Recorder, Work

MOST = 512  # recorded choices and shapes of a slot; of more, those go that were not used for longest


class SlotGraphs:
    """Runs the blocks of one network as `run_elastic`, most of them by replaying what was recorded.

    A block that is new, on tensors of a shape that is new, runs as without graphs: libraries begin and choose
    algorithms in a first run, which no recording may hold. The second time it is recorded and replayed. The classifier
    always runs as without graphs: dropout is random. So do convolutions of a map of one pixel. Results are the same to
    the bit.

    Every forward pass must be followed by its backward pass, once: RuntimeError if another forward pass came between.
    What blocks return is overwritten by the next forward pass; the classifier's logits are not.

    largest: side of the largest images, pixels: nothing is recorded before a step with them has shown what memory it
        takes
    warn: told once, in a line, if some blocks run without graphs
    """

    def __init__(self, recorder: Recorder, largest: int, warn: Callable[[str], object]) -> None:
        self._recorder, self._largest, self._warn = recorder, largest, warn
        self._slots: dict[nn.Module, _Slot] = {}
        self._gradient = _Place()  # of a block's output, then of its input, which is the output of the block before
        self._begin: nn.Module | None = None
        self._coming = self._ready = self._warned = self._full = False

    def __call__(self, layer: nn.Module, x: Tensor, block: Block, normalise: Normalise, take: Take = first) -> Tensor:
        """As `run_elastic`; `normalise` and `take` must be the same in all calls."""
        self._begin = self._begin or layer
        if layer is self._begin:
            self._ready = self._coming
            self._coming = self._coming or x.shape[-1] >= self._largest
        if not _is_recorded(block):
            return run_elastic(layer, x, block, normalise, take)
        if layer not in self._slots:
            self._slots[layer] = _Slot(layer)
        slot = self._slots[layer]
        key = (block, tuple(x.shape), x.stride(), x.dtype, x.requires_grad, torch.is_grad_enabled(), _autocast_dtype(x))

        def run(x: Tensor) -> Tensor:
            return run_elastic(layer, x, block, normalise, take)

        recorded = slot.recorded.get(key) or self._record(slot, key, run, x)
        if recorded is None:
            return self._noted(slot, key, x, run(x))
        slot.recorded.move_to_end(key)
        if recorded.backward is None:
            return recorded.run(x)
        out: Tensor = _Replayed.apply(x, slot.anchor(x), recorded)  # type: ignore[no-untyped-call]
        return out

    def _noted(self, slot: _Slot, key: Hashable, x: Tensor, out: Tensor) -> Tensor:
        """The output of a block that ran without a graph; its sizes are known from now on."""
        if key not in slot.seen:
            slot.x.tell(x)
            slot.out.tell(out)
            self._gradient.tell(x)
            self._gradient.tell(out)
            form = _form(out)
            if out.requires_grad:
                note = lambda grad: slot.seen.update({key: (form, _form(grad))})  # noqa: E731
                out.register_hook(note)  # type: ignore[no-untyped-call]
            else:
                slot.seen[key] = form, form
        return out

    def _record(self, slot: _Slot, key: Hashable, run: Callable[[Tensor], Tensor], x: Tensor) -> _Recorded | None:
        if self._full or not self._ready or slot.given_up or key not in slot.seen:
            return None
        if not self._recorder.has_room():
            self._full = True
            self._tell("the GPU's memory has no room for more CUDA graphs")
            return None
        try:
            self._make_places(slot, x)
            made = _Recorded(self._recorder, slot, self._gradient, run, x, *slot.seen[key])
        except RuntimeError as error:  # no memory, or what cannot be recorded: nothing was done yet
            slot.given_up = True
            self._tell(f"a CUDA graph could not be recorded ({str(error).partition(chr(10))[0]})")
            return None
        slot.recorded[key] = made
        if len(slot.recorded) > MOST:
            self._recorder.settle()
            slot.recorded.popitem(last=False)
        return made

    def _make_places(self, slot: _Slot, x: Tensor) -> None:
        """Graphs that point to where a place was before are dropped: they would keep that memory."""
        moved = [slot] if slot.x.moved(x.device) | slot.out.moved(x.device) else []
        if self._gradient.moved(x.device):
            moved = list(self._slots.values())
        if any(slot.recorded for slot in moved):
            self._recorder.settle()
        for slot_moved in moved:
            slot_moved.recorded.clear()
        if not slot.recorded:
            slot.pool = self._recorder.pool()

    def _tell(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"{why}: some blocks run without, which is slower and as exact")


def _is_recorded(block: Block) -> bool:
    kinds = {step.kind for step in steps_of(block)}
    # a gradient of one pixel has a layout, and with it rounding, that depends on the choice of the block after
    return "linear" not in kinds and (block.out_size > 1 or "conv" not in kinds)


class _Place:
    """Memory at one address, for one tensor at a time, as large as the largest that it was told of."""

    def __init__(self) -> None:
        self._needed, self._memory = 0, torch.empty(0, dtype=torch.uint8)

    def tell(self, tensor: Tensor) -> None:
        self._needed = max(self._needed, tensor.nbytes)

    def moved(self, device: torch.device) -> bool:
        """Takes other memory if it is too small, and says so."""
        if self._needed <= len(self._memory):
            return False
        self._memory = torch.empty(self._needed, dtype=torch.uint8, device=device)
        return True

    def like(self, form: Tensor) -> Tensor:
        """The place as a tensor of the form."""
        return self._memory[: form.nbytes].view(form.dtype).as_strided(form.shape, form.stride()).detach()


def _form(tensor: Tensor) -> Tensor:
    """Shape, type and layout, without content, and without holes."""
    return torch.empty_like(tensor, device="meta", requires_grad=False)


@dataclass(eq=False)
class _Slot:
    """A slot's layer, and what all its graphs share.

    seen: of what ran without a graph, by its key, the forms of the output and of its gradient
    turn: counts forward and backward passes of graphs, so that each backward pass is known to follow its forward pass
    """

    layer: nn.Module
    x: _Place = field(default_factory=_Place)
    out: _Place = field(default_factory=_Place)
    seen: dict[Hashable, tuple[Tensor, Tensor]] = field(default_factory=dict)
    recorded: OrderedDict[Hashable, _Recorded] = field(default_factory=OrderedDict)
    grads: dict[nn.Parameter, Tensor] = field(default_factory=dict)
    pool: Any = None
    given_up: bool = False
    turn: int = 0
    _anchor: Tensor | None = None

    def anchor(self, x: Tensor) -> Tensor:
        """What makes autograd ask for the backward pass of a block whose input, the images, has no gradient."""
        if self._anchor is None:
            self._anchor = torch.empty(0, device=x.device, requires_grad=True)
        return self._anchor

    def grad(self, weight: nn.Parameter) -> Tensor:
        """Where the weight's gradient lies in steps that use graphs."""
        if weight not in self.grads:
            self.grads[weight] = torch.zeros_like(weight)
        return self.grads[weight]


class _Recorded:
    """A block's forward and backward pass on tensors of one shape.

    grads: the weights that it uses, each with its gradient's place
    """

    def __init__(
        self,
        recorder: Recorder,
        slot: _Slot,
        gradient: _Place,
        run: Callable[[Tensor], Tensor],
        x: Tensor,
        out: Tensor,
        grad_out: Tensor,
    ) -> None:
        """run: the block; x, out, grad_out: of the forms that it takes and gives. Nothing of them is read."""
        self.slot = slot
        self.x, self.out = slot.x.like(_form(x)).requires_grad_(x.requires_grad), slot.out.like(out)
        self.grad_out = gradient.like(grad_out)
        self.grad_in: Tensor | None = None
        self.grads: list[tuple[nn.Parameter, Tensor]] = []
        self.backward: Work | None = None
        kept: list[Tensor] = []
        forms: list[Tensor] = []

        def forward() -> None:
            kept.append(run(self.x))
            self.out.copy_(kept[0].detach())

        def backward() -> None:
            torch.autograd.backward(kept.pop(), self.grad_out)
            if self.x.grad is not None:
                self.grad_in = gradient.like(forms.pop())
                self.grad_in.copy_(self.x.grad)
                self.x.grad = None  # its memory is the pool's

        if x.requires_grad:
            # autograd gives leaves gradients that lie as they do, but passes others on as they come
            self.x.register_hook(lambda grad: forms.append(_form(grad)))  # type: ignore[no-untyped-call]
        kind, dtype = x.device.type, _autocast_dtype(x)
        with _aliases(slot.layer) as aliases:
            # a cast that autocast has kept would be that of the weights as they are now, in all replays
            with torch.autocast(kind, dtype, enabled=dtype is not None, cache_enabled=False):
                self.forward = recorder.record(forward, slot.pool)
            if kept[0].requires_grad:
                for leaf in _leaves(kept[0]):
                    if leaf is not self.x:
                        leaf.grad = slot.grad(aliases[leaf])
                        self.grads.append((aliases[leaf], leaf.grad))
                with torch.autocast(kind, enabled=False):  # as where a step calls its backward pass
                    self.backward = recorder.record(backward, slot.pool)

    def run(self, x: Tensor) -> Tensor:
        """The block's output, which stays until the next forward pass of the slot."""
        self.slot.turn += 1
        with torch.no_grad():
            self.x.copy_(x)
        self.forward()
        return self.out.detach()

    def learn(self, grad: Tensor) -> Tensor | None:
        """Adds the weights' gradients to theirs, and gives that of the input, which stays until the next block's."""
        assert self.backward is not None
        self.slot.turn += 1
        if grad.data_ptr() != self.grad_out.data_ptr():
            self.grad_out.copy_(grad)
        elif grad.stride() != self.grad_out.stride():
            self.grad_out.copy_(grad.clone())
        fresh = [place for weight, place in self.grads if weight.grad is None]
        if fresh:
            torch._foreach_zero_(fresh)
        for weight, place in self.grads:
            if weight.grad is not place:
                if weight.grad is not None:  # of a block that ran without a graph in the same step
                    place.copy_(weight.grad)
                weight.grad = place
        self.backward()
        return None if self.grad_in is None else self.grad_in.detach()


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, _: Tensor, recorded: _Recorded) -> Tensor:
        out = recorded.run(x)
        ctx.recorded, ctx.turn = recorded, recorded.slot.turn
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        if ctx.turn != ctx.recorded.slot.turn:
            raise RuntimeError("a block ran again before its backward pass: with CUDA graphs, what it kept is gone")
        return ctx.recorded.learn(grad), None, None


def _autocast_dtype(x: Tensor) -> torch.dtype | None:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None


@contextmanager
def _aliases(layer: nn.Module) -> Iterator[dict[Tensor, nn.Parameter]]:
    """Within, the layer has other tensors on the memory of its weights: of those, autograd has no node from before.

    Such a node, of a step whose loss is still there, belongs to the stream of that step, which is not recorded.
    """
    kept = [(held, name, p) for module in layer.modules() for held in [module._parameters] for name, p in held.items()]
    aliases: dict[Tensor, nn.Parameter] = {}
    try:
        for held, name, weight in kept:
            if weight is not None:
                alias: Any = weight.detach().requires_grad_(weight.requires_grad)
                held[name], aliases[alias] = alias, weight
        yield aliases
    finally:
        for held, name, weight in kept:
            held[name] = weight


def _leaves(out: Tensor) -> list[Tensor]:
    """What a gradient of `out` is accumulated in."""
    found: list[Tensor] = []
    todo, seen = [out.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        todo += [before for before, _ in node.next_functions]
    return found
