"""What a step trains: its resolution and its sub-networks, drawn from seed, stage and step alone.

So every process of a job draws the same, and a run that continues draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ofa.space import SearchSpace, Subnet
from ofa.training.recipe import Stage


@dataclass(frozen=True)
class Draws:
    """The draws of a stage.

    seed: of the run; number: of the stage in it
    fixed: the sub-network that is trained alone, if one is
    resolutions: pixels, one of them a step
    """

    space: SearchSpace
    stage: Stage
    resolutions: Sequence[int]
    seed: int
    number: int = 0
    fixed: Subnet | None = None

    def resolution(self, step: int) -> int:
        """Side of a step's images; steps are counted over all epochs of the stage."""
        rng = np.random.default_rng([self.seed, self.number, step, 0])
        return self.resolutions[int(rng.integers(len(self.resolutions)))]

    def subnets(self, step: int) -> list[Subnet]:
        """A step's sub-networks, at its resolution. With the sandwich rule, the largest first, then the smallest."""
        resolution = self.resolution(step)
        if self.fixed is not None:
            return [replace(self.fixed, resolution=resolution)]
        rng = np.random.default_rng([self.seed, self.number, step, 1])
        genes = self.stage.draw(self.space, rng, self.stage.subnets, self.resolutions)
        if self.stage.sandwich:
            genes[0] = self.stage.largest(self.space, resolution)[0]
            genes[1] = self.stage.smallest(self.space, resolution)[0]
        genes[:, 0] = resolution
        return self.space.decode(genes)

    def ends(self) -> dict[str, Subnet]:
        """The sub-networks whose accuracy tells how the stage goes, at the largest resolution; one alone at its own."""
        if self.fixed is not None:
            return {"alone": self.fixed}
        resolution = max(self.resolutions)
        largest = self.stage.largest(self.space, resolution)
        smallest = self.stage.smallest(self.space, resolution)
        if (largest == smallest).all():
            return {"largest": self.space.decode(largest)[0]}
        return {"largest": self.space.decode(largest)[0], "smallest": self.space.decode(smallest)[0]}
