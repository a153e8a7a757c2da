"""A block's forward and backward pass, recorded once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ofa.networks.gpu.recording import Recorder, Work
from ofa.training.graphs.places import Gradient, Gradients, Place, fill


class Recorded:
    """A block's forward and backward pass on tensors of one shape. InputError and RuntimeError as of the recorder."""

    def __init__(
        self,
        recorder: Recorder,
        pool: Any,
        layer: nn.Module,
        run: Callable[[Tensor], Tensor],
        x: Tensor,
        places: tuple[Place, Place, Place],
        gradients: Gradients,
        forms: tuple[Tensor, Tensor],
    ) -> None:
        """run: the layer's block on x, of which nothing is read

        places: of its input, of its output, and of a gradient of either; forms: of its output, and of its gradient
        """
        into, out_of, gradient = places
        self.x, self.out = into.like(form_of(x)).requires_grad_(x.requires_grad), out_of.like(forms[0])
        self._grad_out = gradient.like(forms[1])
        self._grad_in: Tensor | None = None
        self._gradients, self._used = gradients, list[Gradient]()
        self.backward: Work | None = None
        kept: list[Tensor] = []
        of_x: list[Tensor] = []

        def forward() -> None:
            kept.append(run(self.x))
            self.out.copy_(kept[0].detach())

        def backward() -> None:
            torch.autograd.backward(kept.pop(), self._grad_out)
            if self.x.grad is not None:
                self._grad_in = gradient.like(of_x.pop())
                self._grad_in.copy_(self.x.grad)
                self.x.grad = None  # its memory is the pool's

        if x.requires_grad:
            # autograd gives leaves gradients that lie as they do, but passes others on as they come
            self.x.register_hook(lambda grad: of_x.append(form_of(grad)))  # type: ignore[no-untyped-call]
        kind, dtype = x.device.type, autocast_dtype(x)
        with _aliases(layer) as aliases:
            # a cast that autocast has kept would be that of the weights as they are now, in all replays
            with torch.autocast(kind, dtype, enabled=dtype is not None, cache_enabled=False):
                self._forward = recorder.record(forward, pool)
            if kept[0].requires_grad:
                for leaf in _leaves(kept[0]):
                    if leaf is not self.x:
                        self._used.append(gradients.of(aliases[leaf]))
                        leaf.grad = self._used[-1].place
                with torch.autocast(kind, enabled=False):  # as where a step calls its backward pass
                    self.backward = recorder.record(backward, pool)

    def run(self, x: Tensor) -> Tensor:
        """The block's output, which stays until the next forward pass."""
        with torch.no_grad():
            fill(self.x, x)
        self._forward()
        return self.out.detach()

    def learn(self, grad: Tensor) -> Tensor | None:
        """Adds the weights' gradients to theirs, and gives that of the input, which stays until the next block's."""
        assert self.backward is not None
        fill(self._grad_out, grad)
        self._gradients.give(self._used)
        self.backward()
        return self._grad_in


def form_of(tensor: Tensor) -> Tensor:
    """Shape, type and layout, without content, and without holes."""
    return torch.empty_like(tensor, device="meta", requires_grad=False)


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast makes of single precision where x is; None where it is off."""
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
