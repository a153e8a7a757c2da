"""Memory at addresses that stay: of what lies between blocks, and of weights' gradients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNED = 512  # bytes, as PyTorch's own memory on a GPU


class Place:
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
        return _view(self._memory, 0, form)


def fill(place: Tensor, given: Tensor) -> None:
    """Copies what was given to a place, unless it lies there."""
    if given.data_ptr() != place.data_ptr():
        place.copy_(given)
    elif given.stride() != place.stride():
        place.copy_(given.clone())


@dataclass(eq=False, slots=True)
class Gradient:
    """Of one weight. clean: its place has only zeros"""

    weight: nn.Parameter
    place: Tensor
    clean: bool = True


class Gradients:
    """A place for the gradient of every weight: one piece of memory, which is cleared in one go, once a step.

    A weight has it as its `grad` only while a step uses the weight.
    """

    def __init__(self, weights: Iterable[nn.Parameter]) -> None:
        weights = [weight for weight in weights if weight.requires_grad]
        begins = [0]
        for weight in weights:
            begins.append(begins[-1] + -(-weight.nbytes // ALIGNED) * ALIGNED)
        device = weights[0].device if weights else None
        self._memory = torch.zeros(begins.pop(), dtype=torch.uint8, device=device)
        self._of = {
            weight: Gradient(weight, _view(self._memory, begin, weight.detach()))
            for weight, begin in zip(weights, begins, strict=True)
        }

    def of(self, weight: nn.Parameter) -> Gradient:
        return self._of[weight]

    def give(self, gradients: Iterable[Gradient]) -> None:
        """Makes these what the weights accumulate in, with what was accumulated elsewhere, or zeros."""
        for gradient in gradients:
            before = gradient.weight.grad
            if before is gradient.place:
                continue
            if before is not None:  # of a block that ran without a graph in the same step
                gradient.place.copy_(before)
            elif not gradient.clean:
                self._clear()
            gradient.clean, gradient.weight.grad = False, gradient.place

    def _clear(self) -> None:
        """All places that no weight accumulates in: as a step begins, those are all."""
        dirty = [gradient for gradient in self._of.values() if not gradient.clean]
        unused = [gradient for gradient in dirty if gradient.weight.grad is not gradient.place]
        if len(unused) == len(dirty):
            self._memory.zero_()
        else:
            torch._foreach_zero_([gradient.place for gradient in unused])
        for gradient in unused:
            gradient.clean = True


def _view(memory: Tensor, begin: int, form: Tensor) -> Tensor:
    """The memory from a byte on, as a tensor of the form."""
    part = memory[begin : begin + form.nbytes].view(form.dtype)
    return part.as_strided(form.shape, form.stride(), part.storage_offset()).detach()
