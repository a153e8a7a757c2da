"""The measurement that a profiler's options ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ofa.blocks import all_blocks, blocks_of
from ofa.space import SearchSpace, Subnet, get_space
from profilers.in_place.carriers import Carrier, carriers_of
from profilers.measuring.pace import CPU_PACE, Pace
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.profiling.control_networks import chosen_networks
from profilers.profiling.profile_options import PlanOptions


@dataclass(frozen=True)
class Work:
    """What is to be measured, by the options.

    blocks: how many the space has; measured: how many of them the plan has, which come first in it
    networks: are timed whole, and follow the blocks; carriers: in which blocks are timed in place, the plan's last
        models; both in this order
    """

    space: SearchSpace
    blocks: int
    plan: VisitPlan
    rules: Mapping[str, Any]
    rounds: int
    measured: int
    carriers: tuple[Carrier, ...] = ()
    networks: tuple[Subnet, ...] = ()

    @property
    def block_ids(self) -> tuple[str, ...]:
        """Of the models that are single blocks."""
        return tuple(self.plan.models)[: self.measured]

    @property
    def network_ids(self) -> tuple[str, ...]:
        """Of the networks that are timed whole."""
        return tuple(self.plan.models)[self.measured : self.measured + len(self.networks)]

    def called(self, model: str) -> str:
        """A model of the plan, in words."""
        number = list(self.plan.models).index(model) - self.measured
        if number < 0:
            return str(self.plan.models[model][0])
        if number < len(self.networks):
            return f"the whole network {self.networks[number]}"
        return f"the network in which blocks are timed, {self.carriers[number - len(self.networks)].subnet}"


def planned(options: PlanOptions, pace: Pace = CPU_PACE, in_place: bool = False) -> Work:
    """What the options ask for; InputError for a space or resolutions that there are not.

    in_place: whether blocks are also timed in networks, where the device's pace has rules for that
    """
    space = get_space(options.space, options.num_classes)
    blocks = all_blocks(space, options.resolutions)
    rules, rounds = (pace.quick, pace.quick_rounds) if options.quick else (pace.rules, pace.rounds)
    carriers: tuple[Carrier, ...] = ()
    if in_place and pace.in_place is not None:
        rules, own = pace.in_place.blocks, pace.in_place
        rounds = own.quick_rounds if options.quick else own.rounds
        carriers = carriers_of(space, options.resolutions, options.seed)
    rounds = options.rounds or rounds
    chains = [(block,) for block in blocks[: options.limit]]
    networks = chosen_networks(space, options.resolutions, options.seed) if options.limit is None else ()
    plan = make_plan(
        [*chains, *(blocks_of(space, network) for network in networks)],
        rounds,
        options.seed,
        cut_chains=[carrier.cut for carrier in carriers],
        reference_among=range(len(chains)),
    )
    return Work(space, len(blocks), plan, rules, rounds, len(chains), carriers, networks)
