"""Networks that are worth timing on a device, and their models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.space import SearchSpace, Subnet, get_space
from ofa.tables import LatencyTable
from ofa.tables.network_times import write_networks
from profilers.estimating.cost_model import even_prior, fit_table, space_terms, suggest
from profilers.estimating.transfer_options import TransferOptions
from profilers.measuring.models import check_runtime, write_models

CANDIDATES = 2000  # random sub-networks among which it is chosen


def suggestion(options: TransferOptions, source: LatencyTable | None) -> tuple[SearchSpace, dict[str, Subnet]]:
    """The space, and {name: network}. source: a table of a related device, or none. InputError for wrong options."""
    if options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists: replace it with --overwrite")
    if len(options.spaces) != 1:
        raise InputError("--suggest chooses networks of one --space")
    if options.runtime:
        check_runtime(options.runtime)
    space = get_space(options.spaces[0], options.num_classes)
    genes = space.sample(np.random.default_rng(options.seed), CANDIDATES, resolutions=options.resolutions)
    terms = space_terms(space, genes)
    chosen = suggest(even_prior(terms) if source is None else fit_table(source), terms, options.suggest or 1)
    return space, {f"network-{i:02d}": subnet for i, subnet in enumerate(space.decode(genes[chosen]), start=1)}


def write_suggestion(options: TransferOptions, space: SearchSpace, networks: dict[str, Subnet]) -> None:
    """Writes the networks, whose latencies are to be filled in."""
    header = {"device": options.device or "", "batch": str(options.batch or 1)}
    rows = [(space.name, subnet) for subnet in networks.values()]
    write_networks(options.out, header, rows, {"latency_ms": [""] * len(rows)}, list(networks))


def write_suggested_models(options: TransferOptions, space: SearchSpace, networks: dict[str, Subnet]) -> Path:
    """Writes the networks as models for options.runtime, with random weights; their folder."""
    assert options.runtime is not None
    folder = options.out.with_suffix(".models")
    folder.mkdir(parents=True, exist_ok=True)
    chains = {name: blocks_of(space, subnet) for name, subnet in networks.items()}
    write_models(chains, options.runtime, folder, options.batch or 1)
    return folder
