"""Networks that are worth timing on a device, and their models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, SearchSpace, Subnet, get_space
from ofa.tables import LatencyTable
from ofa.tables.network_times import write_networks
from profilers.estimating.cost_model import even_prior, fit_table, space_terms, suggest
from profilers.estimating.transfer_config import TransferConfig
from profilers.measuring.models import check_runtime, write_models

CANDIDATES = 2000  # random sub-networks among which it is chosen


def suggestion(config: TransferConfig, source: LatencyTable | None) -> tuple[SearchSpace, dict[str, Subnet]]:
    """The space, and {name: network}. source: a table of a related device, or none. InputError for wrong config."""
    if len(config.space) != 1:
        raise InputError("--suggest chooses networks of one --space")
    if config.runtime:
        check_runtime(config.runtime)
    space = get_space(config.space[0])  # as networks that others timed, and as their file is read
    resolutions = config.resolutions or RESOLUTIONS
    genes = space.sample(np.random.default_rng(config.seed), CANDIDATES, resolutions=resolutions)
    terms = space_terms(space, genes)
    chosen = suggest(even_prior(terms) if source is None else fit_table(source), terms, config.suggest or 1)
    return space, {f"network-{i:02d}": subnet for i, subnet in enumerate(space.decode(genes[chosen]), start=1)}


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
    chains = {name: blocks_of(space, subnet) for name, subnet in networks.items()}
    write_models(chains, config.runtime, folder, config.batch or 1)
    return folder
