"""Whether CUDA graphs compute here what blocks do without them: tried before a training relies on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa.blocks import Block
from ofa.networks import Supernet
from ofa.networks.elastic import Normalise, RunBlock, Take, first, run_elastic
from ofa.networks.gpu.recording import Recorder
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from ofa.training.step import supernet_run

IMAGES = 16
SCALE = 64  # of the loss: halves do not vanish
# by how much numbers are rounded: in fp32 by other algorithms of a convolution, not in the last bit
ROUNDING = {"fp32": 1e-5, "fp16": 2**-11, "bf16": 2**-8}
# how far a tensor may be away: so many times as far as such rounding on its way moves it, at most in so many tries,
TIMES, TRIES = 3, 3
# and by so much of itself: where another algorithm takes a number to the other side of a kink, say
TOLERANCE = {"fp32": 1e-2, "fp16": 2e-2, "bf16": 5e-2}


def graphs_work(
    net: Supernet,
    recorder: Recorder,
    precision: Precision,
    stage: Stage,
    resolution: int,
    normalise: Normalise | None = None,
) -> bool:
    """Compares what blocks of the stage's largest and smallest sub-network give, forward and backward, and leave.

    With and without graphs each is given the same: over many blocks rounding grows, until gradients of two right runs
    in half precision have little in common. How much of a difference is rounding is tried for every tensor: most move
    by less than a per cent, but what is left of sums that cancel may move by more than it is.

    Between recording and comparing all weights change, so that what was recorded of their values is noticed. The
    network is copied and stays as it is, and so do generators of random numbers.

    resolution: pixels; normalise: as of `supernet_run`
    """
    net = copy.deepcopy(net).train()
    dropout = net.get_submodule("classifier.dropout")
    assert isinstance(dropout, nn.Dropout)
    dropout.p = 0.0
    device, draws = next(net.parameters()).device, torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, resolution, resolution, generator=draws).to(device)
    labels = torch.randint(net.space.num_classes, (IMAGES,), generator=draws).to(device)
    subnets = net.space.decode(np.concatenate([of(net.space, resolution) for of in (stage.smallest, stage.largest)]))
    graphs = SlotGraphs(net, recorder, resolution, lambda _: None)

    def passes() -> list[_Seen]:
        """The blocks of both sub-networks in turn."""
        net.zero_grad(set_to_none=True)
        seen: list[_Seen] = []
        run = supernet_run(net, normalise, _watched(graphs, seen))
        for subnet in subnets:
            with precision.autocast():
                logits = run(images, subnet)
            (SCALE * F.cross_entropy(logits.float(), labels)).backward()  # type: ignore[no-untyped-call]
        return seen

    for _ in range(3):  # without, recorded, replayed
        passes()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1 + 0.3 * torch.randn(weight.shape, generator=draws).to(device))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    seen = passes()
    found = [_maps(seen), *_left(net)]

    def without(rounding: Callable[[Tensor], Tensor]) -> list[dict[str, Tensor]]:
        net.load_state_dict(before)
        net.zero_grad(set_to_none=True)
        return [_maps([one.again(precision, rounding) for one in seen]), *_left(net)]

    rounded = _rounding(ROUNDING[precision.name], device)
    every = zip(found, without(lambda tensor: tensor), *(without(rounded) for _ in range(TRIES)), strict=True)
    return all(alike(*of, tolerance=TOLERANCE[precision.name]) for of in every)


@dataclass(eq=False)
class _Seen:
    """A block in a pass: what it took and gave, each a copy. grad_x: none of images"""

    run: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
    x: Tensor
    out: Tensor
    grad_out: Tensor | None = None
    grad_x: Tensor | None = None

    def again(self, precision: Precision, rounding: Callable[[Tensor], Tensor]) -> _Seen:
        """The block without a graph, given the same, with all maps rounded."""
        assert self.grad_out is not None
        x = self.x.detach().clone().requires_grad_(self.x.requires_grad)
        with precision.autocast():
            out = self.run(rounding(x), rounding)
        out.backward(rounding(self.grad_out))  # type: ignore[no-untyped-call]
        return _Seen(self.run, x, out.detach(), self.grad_out, x.grad)


def _rounding(by: float, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Makes every number of a map, and later every one of its gradient, larger or smaller by so much of it."""
    ups = torch.Generator(device).manual_seed(0)

    def error(tensor: Tensor) -> Tensor:
        up = torch.randint(2, tensor.shape, generator=ups, dtype=torch.int8, device=device)
        return tensor.detach() * (by * (2 * up - 1)).to(tensor.dtype)

    def rounded(tensor: Tensor) -> Tensor:
        out = tensor + error(tensor)
        if out.requires_grad:
            out.register_hook(lambda grad: grad + error(grad))  # type: ignore[no-untyped-call]
        return out

    return rounded


def _watched(graphs: SlotGraphs, seen: list[_Seen]) -> RunBlock:
    """Runs blocks by graphs, told to autograd one at a time, and adds them to `seen`."""

    def run_block(layer: nn.Module, x: Tensor, block: Block, normalise: Normalise, take: Take = first) -> Tensor:
        kept = x.detach().clone().requires_grad_(x.requires_grad)
        out = graphs.linked(graphs(layer, x, block, normalise, take))

        def run(given: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
            def rounded(bn: nn.BatchNorm2d, x: Tensor, activation: nn.Module) -> Tensor:
                return rounding(normalise(bn, rounding(x), activation))

            return run_elastic(layer, given, block, rounded, take)

        one = _Seen(run, kept, out.detach().clone())

        def note(of: str) -> Callable[[Tensor], None]:
            return lambda grad: setattr(one, of, grad.clone())

        out.register_hook(note("grad_out"))  # type: ignore[no-untyped-call]
        if x.requires_grad:
            x.register_hook(note("grad_x"))  # type: ignore[no-untyped-call]
        seen.append(one)
        return out

    return run_block


def _maps(seen: list[_Seen]) -> dict[str, Tensor]:
    """Outputs, and gradients of inputs."""
    both = {f"output {n}": one.out for n, one in enumerate(seen)}
    return both | {f"gradient {n}": one.grad_x for n, one in enumerate(seen) if one.grad_x is not None}


def _left(net: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Copies of the weights' gradients, and of all statistics."""
    grads = {name: weight.grad.clone() for name, weight in net.named_parameters() if weight.grad is not None}
    return grads, {name: tensor.clone() for name, tensor in net.named_buffers() if tensor.is_floating_point()}


def alike(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *rounded: Mapping[str, Tensor], tolerance: float
) -> bool:
    """Whether each tensor is what it should be but for rounding, and something is there.

    rounded: as expected, but that numbers were rounded on the way: of a sum that cancels, that may move all there is
    """
    if found.keys() != expected.keys():
        return False

    def away(given: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([(given[name].double() - tensor.double()).norm() for name, tensor in expected.items()])

    own = torch.stack([tensor.double().norm() for tensor in expected.values()])
    moved = torch.stack([away(given) for given in rounded]).amax(0)
    right = away(found) <= TIMES * moved + tolerance * own
    return bool(right.all()) and bool(own.isfinite().all()) and bool(own.max() > 0)
