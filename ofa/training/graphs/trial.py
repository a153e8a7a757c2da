"""Whether CUDA graphs compute here what blocks do without them: tried before a training relies on it."""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ofa.networks import Supernet
from ofa.networks.elastic import Normalise, RunBlock, run_elastic
from ofa.networks.gpu.recording import Recorder
from ofa.training.graphs.slots import SlotGraphs
from ofa.training.precision import Precision
from ofa.training.recipe import Stage
from ofa.training.step import supernet_run

IMAGES = 16
SCALE = 64  # of the loss: halves do not vanish
# of the norm of all gradients, and of all running statistics: rounding is less where algorithms differ, faults are more
TOLERANCE = {"fp32": 1e-2, "fp16": 5e-2, "bf16": 5e-2}


def graphs_work(
    net: Supernet,
    recorder: Recorder,
    precision: Precision,
    stage: Stage,
    resolution: int,
    normalise: Normalise | None = None,
) -> bool:
    """Compares the gradients of the stage's largest and smallest sub-network, and the statistics behind them.

    Between recording and comparing all weights change, so that what was recorded of their values is noticed. The
    network is copied and stays as it is, and so do generators of random numbers.

    resolution: pixels; normalise: as of `supernet_run`
    """
    net = copy.deepcopy(net).train()
    dropout = net.get_submodule("classifier.dropout")
    assert isinstance(dropout, torch.nn.Dropout)
    dropout.p = 0.0
    device, draws = next(net.parameters()).device, torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, resolution, resolution, generator=draws).to(device)
    labels = torch.randint(net.space.num_classes, (IMAGES,), generator=draws).to(device)
    subnets = net.space.decode(np.concatenate([of(net.space, resolution) for of in (stage.smallest, stage.largest)]))

    def computed(blocks: RunBlock) -> list[Tensor]:
        """All gradients, and all statistics, in one piece each."""
        net.zero_grad(set_to_none=True)
        run = supernet_run(net, normalise, blocks)
        for subnet in subnets:
            with precision.autocast():
                logits = run(images, subnet)
            (SCALE * F.cross_entropy(logits.float(), labels)).backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        return [torch.cat([t.flatten().double() for t in of]) for of in (grads, net.buffers())]

    graphs = SlotGraphs(net, recorder, resolution, lambda _: None)
    for _ in range(3):  # without, recorded, replayed
        computed(graphs)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(1 + 0.3 * torch.randn(weight.shape, generator=draws).to(device))
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = computed(graphs)
    net.load_state_dict(state)
    expected = computed(run_elastic)
    limit = TOLERANCE[precision.name]
    return all(
        bool((a - b).norm() <= limit * b.norm()) and bool(b.isfinite().all()) and bool(b.norm() > 0)
        for a, b in zip(found, expected, strict=True)
    )
