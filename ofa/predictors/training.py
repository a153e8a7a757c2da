"""Training of the ensemble: all members at once, as batched matrix products, in torch.

The same seed gives the same weights bit for bit: one thread, one generator for everything random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.mlp import Float32, Mlp

# below this share of the spread of accuracies, less noise is not believed
_LEAST_LOG_NOISE = -4.0


@dataclass(frozen=True)
class Recipe:
    """How members are trained.

    members: networks in the ensemble; they differ in initial weights and in the order of the rows
    hidden: width of each hidden layer
    epochs: passes over the rows
    batch_size: rows a step
    learning_rate: the peak of a one-cycle schedule, for AdamW
    weight_decay: of the weights, not the biases; decoupled, times the learning rate
    seed: of everything random
    """

    members: int = 8
    hidden: tuple[int, ...] = (64,)
    epochs: int = 120
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("members", "epochs", "batch_size"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} is {getattr(self, field)}, expected at least 1")
        if any(width < 1 for width in self.hidden):
            raise InputError(f"hidden is {list(self.hidden)}, expected positive widths")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise InputError("learning_rate is expected above 0, weight_decay at least 0")


def train_members(
    features: Float32,
    targets: NDArray[np.float64],
    groups: NDArray[np.intp],
    recipe: Recipe,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Mlp]:
    """Networks that map features (N, F) to targets (N,).

    groups: (N,) the source of each row, 0 to G-1; each has its own noise, which is learned too (Gaussian
        likelihood), so that rows that were measured precisely weigh more
    progress: called with the share that is done, 0 to 1
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    try:
        generator = torch.Generator().manual_seed(recipe.seed)
        scale = float(targets.std()) or 1.0
        x = torch.from_numpy(features)
        y = torch.from_numpy((targets / scale).astype(np.float32))
        group = torch.from_numpy(groups.astype(np.int64))
        lit = max(1.0, float(features.sum(axis=1).mean()))  # one-hot: that many inputs are 1 in a row
        sizes = (features.shape[1], *recipe.hidden, 1)
        weights, biases = [], []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            gain = 1.0 if i == len(sizes) - 2 else 2.0
            start = torch.randn(recipe.members, inputs, outputs, generator=generator)
            weights.append((start * (gain / (inputs if i else lit)) ** 0.5).requires_grad_())
            biases.append(torch.zeros(recipe.members, 1, outputs, requires_grad=True))
        log_noise = torch.full((int(groups.max()) + 1,), -1.0, requires_grad=True)
        optimiser = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": recipe.weight_decay},
                {"params": [*biases, log_noise], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
        # the schedule needs a step at each end and two to rise, which the smallest toys do not take
        steps = max(4, recipe.epochs * -(-len(x) // recipe.batch_size))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=recipe.learning_rate, total_steps=steps, pct_start=max(0.1, 2 / steps)
        )
        for epoch in range(recipe.epochs):
            order = torch.stack([torch.randperm(len(x), generator=generator) for _ in range(recipe.members)])
            for begin in range(0, len(x), recipe.batch_size):
                rows = order[:, begin : begin + recipe.batch_size]  # (members, batch)
                hidden = x[rows]
                for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                    hidden = torch.baddbmm(bias, hidden, weight)
                    if i < len(weights) - 1:
                        hidden = torch.relu(hidden)
                noise = log_noise[group[rows]].clamp(min=_LEAST_LOG_NOISE)
                loss = (0.5 * (hidden[..., 0] - y[rows]).square() * torch.exp(-2 * noise) + noise).mean(dim=1).sum()
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
            progress((epoch + 1) / recipe.epochs)
        if not all(bool(torch.isfinite(p).all()) for p in (*weights, *biases)):
            raise InputError(f"training diverged: lower learning_rate ({recipe.learning_rate:g})")
        arrays = [[p.detach().numpy() for p in parameters] for parameters in (weights, biases)]
    finally:
        torch.set_num_threads(threads)
    factors = [1.0] * (len(sizes) - 2) + [scale]
    return [
        Mlp(
            tuple((w[m] * f).astype(np.float32) for w, f in zip(arrays[0], factors, strict=True)),
            tuple((b[m, 0] * f).astype(np.float32) for b, f in zip(arrays[1], factors, strict=True)),
        )
        for m in range(recipe.members)
    ]
