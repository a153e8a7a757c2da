"""Networks that are worth timing on a device, and their models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import blocks_of_all
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, SearchSpace, Subnet, get_space
from ofa.tables import LatencyTable
from ofa.tables.network_times import write_networks
from profilers.estimating.combination import beforehand, combine
from profilers.estimating.cost_model import even_prior, fit_table, space_terms, suggest, terms_of_networks
from profilers.estimating.sources import able, of_table, open_sources
from profilers.estimating.timed_networks import TimedNetworks, read_in_unit
from profilers.estimating.transfer_config import TransferConfig
from profilers.measuring.models import check_runtime, write_models

Floats = NDArray[np.float64]
CANDIDATES = 2000  # random sub-networks among which it is chosen
NOISE = 0.03  # of a network's relative error, before any was timed
# a search within limits finds networks that take at least this share of the least
NEAR = 0.75
FEWEST_NEAR = 20


def suggestion(config: TransferConfig, source: LatencyTable | None) -> tuple[SearchSpace, dict[str, Subnet]]:
    """The space, and {name: network}. source: a table of a related device, or none. InputError for wrong config."""
    if len(config.space) != 1:
        raise InputError("--suggest chooses networks of one --space")
    if config.runtime:
        check_runtime(config.runtime)
    space = get_space(config.space[0])  # as networks that others timed, and as their file is read
    resolutions = config.resolutions or RESOLUTIONS
    genes = space.sample(np.random.default_rng(config.seed), CANDIDATES, resolutions=resolutions)
    if not (config.latency or config.timed or config.sources):
        terms = space_terms(space, genes)
        chosen = suggest(even_prior(terms) if source is None else fit_table(source), terms, config.suggest or 1)
    else:
        timed = (
            None
            if config.timed is None
            else read_in_unit(config.timed, config.column, config.unit, config.batch, [space])
        )
        blocks = blocks_of_all(space, genes)
        if timed is not None:  # the same seed draws them again: a file of both would have them twice
            there = set(map(tuple, timed.blocks))
            genes = genes[[network not in there for network in blocks]]
            blocks = [network for network in blocks if network not in there]
        terms = terms_of_networks(blocks)
        known = _known(config, source, terms, timed)
        chosen = informative(known, terms, within(known, terms, config.latency), config.suggest or 1)
    return space, {f"network-{i:02d}": subnet for i, subnet in enumerate(space.decode(genes[chosen]), start=1)}


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a target: (terms,) weights, their (terms, terms) covariance, relative noise of a network."""

    weights_ms: Floats
    covariance: Floats
    noise: float


def _known(config: TransferConfig, source: LatencyTable | None, terms: Floats, timed: TimedNetworks | None) -> Known:
    """By the networks that were timed already, or beforehand by the sources."""
    if config.sources:
        sources = open_sources(config.sources, config.timed, config.column, timed)
    elif source is not None:
        sources = [of_table(config.from_ or "", source)]
    else:
        sources = []
    if timed is None:
        if config.latency and source is None:
            raise InputError(
                "--latency with --suggest is of networks whose latency is known roughly: give those that were timed "
                "with --timed, or one table of a related device with --from, whose latencies are taken"
            )
        weights = np.stack([of.weights_ms for of in able(sources, terms)]) if sources else even_prior(terms)[None]
        return Known(*beforehand(weights, terms), NOISE)
    of_timed = terms_of_networks(timed.blocks)
    weights = np.stack([of.weights_ms for of in able(sources, terms)]) if sources else even_prior(of_timed)[None]
    found = combine(weights, of_timed, timed.latency_ms, np.eye(terms.shape[1])[-1:], related=not config.sources)
    return Known(found.weights_ms, found.covariance, found.noise)


def within(known: Known, terms: Floats, limits_ms: Sequence[float]) -> NDArray[np.bool_]:
    """(N,) which of N candidates, (N, terms), a search within the limits may find; without limits all.

    InputError where there are too few.
    """
    if not limits_ms:
        return np.ones(len(terms), dtype=bool)
    latency = terms @ known.weights_ms
    found: NDArray[np.bool_] = (latency >= NEAR * min(limits_ms)) & (latency <= max(limits_ms))
    if found.sum() < FEWEST_NEAR:
        asked = " ".join(f"{limit:g}" for limit in limits_ms)
        raise InputError(
            f"{found.sum()} of {len(terms)} random networks are near --latency {asked}: they take "
            f"{latency.min():.3g} to {latency.max():.3g} ms: name limits among these"
        )
    return found


def informative(known: Known, terms: Floats, region: NDArray[np.bool_], count: int) -> list[int]:
    """Which `count` of N candidates, (N, terms), tell most of those of a region, (N,), in order of choice.

    Greedily, each takes most off the mean variance of the relative error in the region (V-optimal design).
    """
    relative = terms / np.maximum(terms @ known.weights_ms, 1e-9)[:, None]
    covariance, noise = known.covariance.copy(), known.noise**2
    there = relative[region]
    chosen: list[int] = []
    for _ in range(min(count, len(terms))):
        spread = covariance @ relative.T  # (terms, N)
        own = np.maximum(np.einsum("ij,ji->i", relative, spread), 0.0)
        gain = ((there @ spread) ** 2).sum(axis=0) / (noise + own)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        chosen.append(best)
        along = spread[:, best]
        covariance -= np.outer(along, along) / (noise + own[best])
    return chosen


def check_new(file: Path, overwrite: bool) -> None:
    """InputError where a file is there already, unless it is to be replaced."""
    if file.exists() and not overwrite:
        raise InputError(f"{file} exists: replace it with --overwrite")


def write_suggestion(config: TransferConfig, space: SearchSpace, networks: dict[str, Subnet]) -> None:
    """Writes the networks, whose latencies are to be filled in."""
    header = {"device": config.device or "", "batch": str(config.batch or 1)}
    rows = [(space.name, subnet) for subnet in networks.values()]
    write_networks(config.out, header, rows, {"latency_ms": [""] * len(rows)}, list(networks), [space])


def write_suggested_models(config: TransferConfig, space: SearchSpace, networks: dict[str, Subnet]) -> Path:
    """Writes the networks as models for config.runtime, with random weights; their folder."""
    assert config.runtime is not None
    folder = config.out.with_suffix(".models")
    folder.mkdir(parents=True, exist_ok=True)
    chains = dict(zip(networks, blocks_of_all(space, [*networks.values()]), strict=True))
    write_models(chains, config.runtime, folder, config.batch or 1)
    return folder
