"""Training of the ensemble: all members at once, as batched matrix products, in torch.

The same seed gives the same weights bit for bit: one thread, one generator for everything random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.mlp import Float32, Mlp
from ofa.predictors.subnet_accuracies import SubnetAccuracies

if TYPE_CHECKING:
    from torch import Generator, Tensor

# below this share of the spread of accuracies, less noise is not believed
_LEAST_LOG_NOISE = -4.0
_ROUNDING = 1e-9  # per cent: equal accuracies spread by as much, where their mean has no exact double


def spread_of(accuracies: NDArray[np.float64]) -> float:
    """What (N,) accuracies are divided by to be trained on: their standard deviation; 1 where all are equal."""
    spread = float(accuracies.std())
    return spread if spread > _ROUNDING else 1.0


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
            raise InputError(f"hidden is {', '.join(map(str, self.hidden))}, expected positive widths")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise InputError("learning_rate is expected above 0, weight_decay at least 0")


def train_ensemble(
    data: SubnetAccuracies, recipe: Recipe, step: Callable[[float], None] = lambda _: None
) -> AccuracyPredictor:
    """An ensemble trained on all of the data; it knows the resolutions of the data, and no uncertainty."""
    known = data.known
    encoder, groups = FeatureEncoder(data.space, known), data.groups
    # the level of a resolution is taken out first: weight decay would pull it to 0
    levels = np.array([data.top1[groups == r].mean() for r in range(len(known))])
    features = encoder.training_features(data.genes)
    members = train_members(features, data.top1 - levels[groups], groups, recipe, step)
    return AccuracyPredictor(encoder, members, {}, levels=levels.tolist())


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
        scale = spread_of(targets)
        rows = _Rows(
            torch.from_numpy(features),
            torch.from_numpy((targets / scale).astype(np.float32)),
            torch.from_numpy(groups.astype(np.int64)),
        )
        members = _untrained(rows, recipe, generator)
        _optimise(members, rows, recipe, generator, progress)
        if not all(bool(torch.isfinite(p).all()) for p in (*members.weights, *members.biases)):
            raise InputError(f"training diverged: lower learning_rate ({recipe.learning_rate:g})")
        return members.networks(scale)
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Rows:
    """What is learnt: features (N, F), targets (N,), and the group (N,) of each row."""

    features: Tensor
    targets: Tensor
    groups: Tensor


@dataclass(frozen=True)
class _Members:
    """The parameters of M networks, layer by layer.

    weights: (M, inputs, outputs) each; biases: (M, 1, outputs) each
    log_noise: (G,), of each group of rows
    """

    weights: list[Tensor]
    biases: list[Tensor]
    log_noise: Tensor

    def outputs(self, features: Tensor) -> Tensor:
        """(M, N) of features (M, N, F)."""
        import torch

        hidden = features
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if i < len(self.weights) - 1:
                hidden = torch.relu(hidden)
        return hidden[..., 0]

    def networks(self, scale: float) -> list[Mlp]:
        """Each member by itself, its outputs times `scale`."""
        weights, biases = ([p.detach().numpy() for p in layers] for layers in (self.weights, self.biases))
        factors = [1.0] * (len(weights) - 1) + [scale]
        return [
            Mlp(
                tuple((w[m] * f).astype(np.float32) for w, f in zip(weights, factors, strict=True)),
                tuple((b[m, 0] * f).astype(np.float32) for b, f in zip(biases, factors, strict=True)),
            )
            for m in range(len(weights[0]))
        ]


def _untrained(rows: _Rows, recipe: Recipe, generator: Generator) -> _Members:
    """Members as they begin, each with other weights."""
    import torch

    lit = max(1.0, float(rows.features.numpy().sum(axis=1).mean()))  # one-hot: that many inputs are 1 in a row
    sizes = (rows.features.shape[1], *recipe.hidden, 1)
    weights, biases = [], []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        gain = 1.0 if i == len(sizes) - 2 else 2.0
        start = torch.randn(recipe.members, inputs, outputs, generator=generator)
        weights.append((start * (gain / (inputs if i else lit)) ** 0.5).requires_grad_())
        biases.append(torch.zeros(recipe.members, 1, outputs, requires_grad=True))
    log_noise = torch.full((int(rows.groups.max()) + 1,), -1.0, requires_grad=True)
    return _Members(weights, biases, log_noise)


def _optimise(
    members: _Members, rows: _Rows, recipe: Recipe, generator: Generator, progress: Callable[[float], None]
) -> None:
    """All epochs, in place; every member sees the rows in an order of its own."""
    import torch

    optimiser = torch.optim.AdamW(
        [
            {"params": members.weights, "weight_decay": recipe.weight_decay},
            {"params": [*members.biases, members.log_noise], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    # the schedule needs a step at each end and two to rise, which the smallest toys do not take
    count = len(rows.targets)
    steps = max(4, recipe.epochs * -(-count // recipe.batch_size))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=steps, pct_start=max(0.1, 2 / steps)
    )
    for epoch in range(recipe.epochs):
        order = torch.stack([torch.randperm(count, generator=generator) for _ in range(recipe.members)])
        for begin in range(0, count, recipe.batch_size):
            batch = order[:, begin : begin + recipe.batch_size]  # (members, batch)
            noise = members.log_noise[rows.groups[batch]].clamp(min=_LEAST_LOG_NOISE)
            errors = members.outputs(rows.features[batch]) - rows.targets[batch]
            loss = (0.5 * errors.square() * torch.exp(-2 * noise) + noise).mean(dim=1).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        progress((epoch + 1) / recipe.epochs)
