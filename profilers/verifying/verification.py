"""From a search's result to networks that keep their limits as measured: measured, chosen, searched again, measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ofa.search.specialised import Specialised
from ofa.space import Subnet
from profilers.measuring.events import Hello
from profilers.measuring.statistics import standard_error_of_median
from profilers.verifying.choice import Choice, Contender, Further, choose, further, ladder
from profilers.verifying.searched import Searched
from profilers.whole_networks.measured import MeasuredNetworks

# where a search nearer or farther finds nothing new, it goes on so often
ATTEMPTS = 6


@dataclass(frozen=True)
class Round:
    """networks: how many were measured; failed: how many more could not be; doubtful: see Contender

    machine_pct, same_machine: see MeasuredNetworks; again: by limit, why and where to the search goes on
    """

    number: int
    networks: int
    failed: int
    doubtful: int
    machine_pct: float
    same_machine: bool
    again: Mapping[float, Further]


@dataclass(frozen=True)
class Verified:
    """What is known of one limit.

    found: the result's own network, None where it has none or it could not be measured
    """

    limit_ms: float
    choice: Choice
    found: Contender | None

    @property
    def changed(self) -> bool:
        """Whether another network was chosen than the search had found."""
        winner = self.choice.winner
        return winner is None or self.found is None or winner.network.subnet != self.found.network.subnet

    def to_dict(self) -> dict[str, Any]:
        """One of the results: as a search's, with what was measured, `latency_ms` too. There must be a winner."""
        winner = self.choice.winner
        assert winner is not None
        assert winner.times.even_ms is not None, "an even visit certified it"
        network = replace(winner.network, limit_ms=self.limit_ms, regret=None, rank=1)
        return {
            **network.to_dict(),
            "latency_ms": round(winner.times.even_ms, 6),
            **measured_dict(winner),
            "passed_over": self.choice.passed_over,
            "changed": self.changed,
            "found": self.found_dict(),
        }

    def found_dict(self) -> dict[str, Any] | None:
        """The search's own network, and what it took."""
        if self.found is None:
            return None
        found = self.found
        return {
            **measured_dict(found),
            "keeps_limit": found.keeps(self.limit_ms),
            "predicted_top1": round(found.network.predicted_top1, 4),
            "subnet": found.network.subnet.to_dict(),
        }


def measured_dict(contender: Contender) -> dict[str, Any]:
    """What was measured of a network, and what its sum is."""
    times = contender.times
    error = 100 * standard_error_of_median(times.visits_ms) / times.latency_ms if len(times.visits_ms) > 1 else None
    return {
        "predicted_ms": round(contender.predicted_ms, 6),
        "measured_ms": round(times.latency_ms, 6),
        "odd_ms": round(times.odd_ms, 6),
        "even_ms": None if times.even_ms is None else round(times.even_ms, 6),
        "standard_error_pct": None if error is None else round(error, 3),
        "visits": len(times.visits_ms),
        "doubtful": contender.doubtful,
        "round": contender.round,
    }


@dataclass(frozen=True, eq=False)
class Verification:
    """limits: one for each limit; contenders: every network that was measured; hello: what the agent told last"""

    limits: tuple[Verified, ...]
    contenders: tuple[Contender, ...]
    rounds: tuple[Round, ...]
    hello: Hello

    @property
    def kept(self) -> list[Verified]:
        return [verified for verified in self.limits if verified.choice.winner is not None]

    @property
    def not_kept(self) -> list[Verified]:
        return [verified for verified in self.limits if verified.choice.winner is None]

    @property
    def same_machine(self) -> bool:
        """Whether the machine ran in every round as it did when the table was made."""
        return all(made.same_machine for made in self.rounds)


MeasureRound = Callable[[int, Sequence[Subnet]], MeasuredNetworks]


def verify(
    searched: Searched,
    measure: MeasureRound,
    *,
    visits: int,
    near: int,
    again: int,
    seed: int,
    tell: Callable[[Round], object] = lambda _: None,
) -> Verification:
    """Measures the networks of a result, and others near their limits, until each limit has its network.

    measure: does a round, given its number and the networks; tell: told of every round once it is made
    visits: how many were asked for of each network; near, again, seed: of `VerifyConfig`
    """
    pool: dict[Subnet, Contender] = {}
    tried: set[Subnet] = set()
    rounds: list[Round] = []
    wanted = [
        network
        for limit, found in searched.found.items()
        for network in (*found, *searched.within(ladder(limit, near + 1), seed))
    ]
    while True:
        number = len(rounds) + 1
        networks = list({network.subnet: network for network in wanted}.values())
        measured = measure(number, [network.subnet for network in networks])
        tried |= {network.subnet for network in networks}
        _enter(pool, networks, measured, number, visits)
        search_on, wanted = dict[float, Further](), []
        if pool and number <= again:
            # what was disturbed is measured anew
            wanted = [c.network for c in pool.values() if c.doubtful]
            for limit in searched.limits:
                where = further(list(pool.values()), limit)
                if where and (new := _new(searched, where, near, seed, tried)):
                    search_on[limit] = where
                    wanted += new
        rounds.append(_round(number, measured, pool, search_on))
        tell(rounds[-1])
        if not wanted:
            break
    limits = tuple(_verified(limit, found, pool) for limit, found in searched.found.items())
    return Verification(limits, tuple(pool.values()), tuple(rounds), measured.hello)


def _enter(
    pool: dict[Subnet, Contender],
    networks: Sequence[Specialised],
    measured: MeasuredNetworks,
    number: int,
    visits: int,
) -> None:
    """Puts what a round measured into the pool; what was doubtful gives way to what is not."""
    for network, times in zip(networks, measured.networks, strict=True):
        if times is not None:
            new = Contender(network, times, number, times.doubtful or 2 * len(times.visits_ms) < visits)
            old = pool.get(network.subnet)
            if old is None or old.doubtful:
                pool[network.subnet] = new


def _round(
    number: int, measured: MeasuredNetworks, pool: Mapping[Subnet, Contender], again: Mapping[float, Further]
) -> Round:
    failed = sum(times is None for times in measured.networks)
    return Round(
        number=number,
        networks=len(measured.networks) - failed,
        failed=failed,
        doubtful=sum(c.doubtful and c.round == number for c in pool.values()),
        machine_pct=measured.machine_pct,
        same_machine=measured.same_machine,
        again=again,
    )


def _verified(limit: float, found: Sequence[Specialised], pool: Mapping[Subnet, Contender]) -> Verified:
    own = pool.get(found[0].subnet) if found else None
    return Verified(limit, choose(list(pool.values()), limit), own)


def _new(searched: Searched, where: Further, near: int, seed: int, tried: set[Subnet]) -> list[Specialised]:
    """Networks about there that were not measured yet; farther on where there are none."""
    within_ms = where.within_ms
    for _ in range(1 if where.growth == 1 else ATTEMPTS):
        found = searched.within(ladder(within_ms, near + 1), seed)
        new = [network for network in found if network.subnet not in tried]
        if new:
            return new
        within_ms *= where.growth
    return []
