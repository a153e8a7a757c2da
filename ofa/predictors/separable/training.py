"""Training the unit networks of a separable predictor, all members side by side; needs torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.fit.ensemble_training import Recipe, spread_of
from ofa.predictors.separable.bend import Bend
from ofa.predictors.separable.unit_networks import UnitNetworks, unit_features
from ofa.space import SearchSpace
from ofa.space.unit_choices import unit_choices

if TYPE_CHECKING:
    from torch import Generator, Tensor

SEGMENTS = 8
LEAST_SLOPE = 0.05
_LEAST_LOG_NOISE = -4.0
# what the data hardly show, and a search would find: a lower resolution above a higher one
_RISING = 1.0
_RISING_ROWS = 64


@dataclass(frozen=True)
class Rows:
    """N networks: numbers (N, U) of their units' configurations, index (N,) of the resolution, top1 (N,) per cent."""

    numbers: NDArray[np.intp]
    resolution: NDArray[np.intp]
    top1: NDArray[np.float64]


def train_units(
    space: SearchSpace,
    resolutions: int,
    rows: Rows,
    recipe: Recipe,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[UnitNetworks, Bend]:
    """Members that predict the rows through one bend, and that bend, which is trained with them.

    resolutions: how many there are
    Every member starts from other weights and sees the rows in an order of its own. The noise of each resolution
    is learned, so that rows that were measured precisely weigh more. Sums are per cent: the bend has a mean slope of 1.
    """
    import torch

    if len(recipe.hidden) != 1:
        raise InputError(f"hidden is {', '.join(map(str, recipe.hidden))}, a separable predictor has one hidden layer")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    try:
        generator = torch.Generator().manual_seed(recipe.seed)
        net = _Units(space, resolutions, rows, recipe, generator)
        _optimise(net, rows, recipe, generator, progress)
        if not all(bool(torch.isfinite(p).all()) for p in (*net.decayed, *net.free)):
            raise InputError(f"training diverged: lower learning_rate ({recipe.learning_rate:g})")
        return net.networks(), net.bend()
    finally:
        torch.set_num_threads(threads)


class _Units:
    """The parameters, in units of the spread of the accuracies."""

    def __init__(self, space: SearchSpace, resolutions: int, rows: Rows, recipe: Recipe, generator: Generator) -> None:
        import torch

        self.features = [torch.from_numpy(features) for features in unit_features(space)]
        self.sizes = [len(choices.rows) for choices in unit_choices(space)]
        u, f, h, m = len(self.features), self.features[0].shape[1], recipe.hidden[0], recipe.members
        self.mean, self.scale = float(rows.top1.mean()), spread_of(rows.top1)
        lit = max(1.0, float(np.mean([float(part.sum(1).mean()) for part in self.features])) + 1)

        def start(*shape: int, gain: float) -> Tensor:
            return (torch.randn(*shape, generator=generator) * gain).requires_grad_()

        self.choices = start(m, u, f, h, gain=(2 / lit) ** 0.5)
        self.by_resolution = start(m, u, resolutions, h, gain=(2 / lit) ** 0.5)
        self.outputs = start(m, u, h, gain=(1 / h / u) ** 0.5)
        self.hidden = torch.zeros(m, u, h, requires_grad=True)
        level = [
            float(rows.top1[at].mean() - self.mean) / self.scale if (at := rows.resolution == r).any() else 0.0
            for r in range(resolutions)
        ]
        self.levels = torch.tensor([level] * m, dtype=torch.float32, requires_grad=True)
        low, high = (float(q - self.mean) / self.scale for q in np.quantile(rows.top1, [0.0, 1.0]))
        self.knots = torch.linspace(low, max(high, low + 1e-3), SEGMENTS + 1)
        self.slopes = torch.full((SEGMENTS,), 0.5413, requires_grad=True)  # softplus: 1
        self.log_noise = torch.full((resolutions,), -1.0, requires_grad=True)
        self.decayed = [self.choices, self.by_resolution, self.outputs]
        self.free = [self.hidden, self.levels, self.slopes, self.log_noise]

    def gather(self, numbers: Tensor) -> Tensor:
        """(..., U, F) features of configuration numbers (..., U)."""
        import torch

        return torch.stack([part[numbers[..., u]] for u, part in enumerate(self.features)], dim=-2)

    def sums(self, features: Tensor, resolution: Tensor) -> Tensor:
        """(M, N) of features (M, N, U, F) at resolutions (M, N)."""
        import torch

        m, n, u, f = features.shape
        read = torch.bmm(features.permute(0, 2, 1, 3).reshape(m * u, n, f), self.choices.flatten(0, 1))
        read = read.view(m, u, n, -1) + self.hidden[:, :, None]
        at = resolution[:, None, :, None].expand(m, u, n, read.shape[-1])
        read = torch.relu(read + self.by_resolution.gather(2, at))
        scores = (read * self.outputs[:, :, None]).sum((1, 3))
        return scores + self.levels.gather(1, resolution)

    def bent_slopes(self) -> Tensor:
        """(SEGMENTS,) all above 0, 1 in the mean: sums of all members are on one scale."""
        import torch

        slopes = torch.nn.functional.softplus(self.slopes) + LEAST_SLOPE
        return slopes / slopes.mean()

    def bend(self) -> Bend:
        """In per cent."""
        knots = self.knots.numpy().astype(np.float64)
        slopes = self.bent_slopes().detach().numpy().astype(np.float64)
        values = knots[0] + np.concatenate([[0.0], np.cumsum(slopes * np.diff(knots))])
        return Bend(knots * self.scale + self.mean, values * self.scale + self.mean)

    def bent(self, sums: Tensor) -> Tensor:
        import torch

        slopes = self.bent_slopes()
        width = self.knots[1] - self.knots[0]
        inside = (sums[..., None] - self.knots[:-1]).clamp(min=torch.zeros(()), max=width)
        beyond = (sums - self.knots[-1]).clamp(min=0) * slopes[-1] + (sums - self.knots[0]).clamp(max=0) * slopes[0]
        return self.knots[0] + inside @ slopes + beyond

    def networks(self) -> UnitNetworks:
        """In per cent."""
        choices, by_resolution, hidden, outputs, levels = (
            p.detach().numpy() for p in (self.choices, self.by_resolution, self.hidden, self.outputs, self.levels)
        )
        return UnitNetworks(
            choices.copy(),
            by_resolution.copy(),
            hidden.copy(),
            (outputs * self.scale).astype(np.float32),
            levels.astype(np.float64) * self.scale + self.mean,
        )


def _optimise(net: _Units, rows: Rows, recipe: Recipe, generator: Generator, progress: Callable[[float], None]) -> None:
    """All epochs, in place."""
    import torch

    optimiser = torch.optim.AdamW(
        [
            {"params": net.decayed, "weight_decay": recipe.weight_decay},
            {"params": net.free, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    count = len(rows.top1)
    steps = max(4, recipe.epochs * -(-count // recipe.batch_size))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=steps, pct_start=max(0.1, 2 / steps)
    )
    features = net.gather(torch.from_numpy(rows.numbers.astype(np.int64)))
    resolution = torch.from_numpy(rows.resolution.astype(np.int64))
    targets = torch.from_numpy(((rows.top1 - net.mean) / net.scale).astype(np.float32))
    for epoch in range(recipe.epochs):
        order = torch.stack([torch.randperm(count, generator=generator) for _ in range(recipe.members)])
        for begin in range(0, count, recipe.batch_size):
            batch = order[:, begin : begin + recipe.batch_size]
            noise = net.log_noise[resolution[batch]].clamp(min=_LEAST_LOG_NOISE)
            errors = net.bent(net.sums(features[batch], resolution[batch])) - targets[batch]
            loss = (0.5 * errors.square() * torch.exp(-2 * noise) + noise).mean(dim=1).sum()
            loss = loss + _falling(net, recipe.members, generator)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        progress((epoch + 1) / recipe.epochs)


def _falling(net: _Units, members: int, generator: Generator) -> Tensor:
    """How far random networks lose by going to the next higher resolution, squared: members of the penalty added up."""
    import torch

    known = net.levels.shape[1]
    if known < 2 or not _RISING:
        return torch.zeros(())
    numbers = torch.stack([torch.randint(n, (_RISING_ROWS,), generator=generator) for n in net.sizes], dim=-1)
    lower = torch.randint(known - 1, (_RISING_ROWS,), generator=generator).expand(members, -1)
    features = net.gather(numbers).expand(members, -1, -1, -1)
    fall = net.sums(features, lower) - net.sums(features, lower + 1)
    return _RISING * torch.relu(fall).square().mean(dim=1).sum()
