"""A table estimated from several sources at once, and what is known of its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa.blocks import Block, all_blocks
from ofa.blocks.terms import MORE_TERMS
from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.space import RESOLUTIONS, get_space
from ofa.tables import LatencyTable, TableRow
from ofa.tables.sum_correction import SumCorrection
from profilers.estimating.combination import Combination, combine, uncertainty
from profilers.estimating.cost_model import folds, more_terms_of, terms_of_networks
from profilers.estimating.estimate import (
    LEAST_MS,
    OF_NETWORKS,
    check_agree,
    check_named,
    common_header,
    describe,
    error_in_words,
    read_checked,
    stated,
    with_doubt,
)
from profilers.estimating.sources import Source, able, open_sources
from profilers.estimating.timed_networks import TimedNetworks
from profilers.estimating.transfer_config import TransferConfig

Floats = NDArray[np.float64]

FEWEST = 2  # networks: one cannot be left out
_NAMED = 4  # sources in a header
# a smaller share of the fastest network is not worth a constant
_LEAST_CONSTANT = 0.005


@dataclass(frozen=True, eq=False)
class Combined:
    """combination: of the sources

    errors_pct: (N,) of each network, predicted without it, signed
    off: (N,) the same, of the measured against the predicted, in terms of what was expected: standard deviations
    """

    combination: Combination
    sources: tuple[Source, ...]
    errors_pct: Floats
    off: Floats


def combined(timed: TimedNetworks, sources: Sequence[Source], blocks: Sequence[Block]) -> Combined:
    """The sources combined on networks that were timed. blocks: that are to be priced, each above nothing

    InputError for fewer than two networks, or where no source can price them.
    """
    terms = terms_of_networks(timed.blocks)
    if len(terms) < FEWEST:
        raise InputError(f"{len(terms)} network: several sources are combined on at least {FEWEST}, better ten")
    usable = able(sources, terms)
    weights = np.stack([source.weights_ms for source in usable])
    own = {block for network in timed.blocks for block in network}
    constant = np.eye(len(MORE_TERMS))[-1:]  # what an inference takes is not below nothing either
    priced = np.vstack([more_terms_of(dict.fromkeys([*blocks, *sorted(own)])), constant])
    errors, off = np.zeros(len(terms)), np.zeros(len(terms))
    for left_out in folds(len(terms)):
        without = combine(weights, terms[~left_out], timed.latency_ms[~left_out], priced, timed=len(terms))
        predicted, measured = without.latency_ms(terms[left_out]), timed.latency_ms[left_out]
        errors[left_out] = 100 * (predicted / measured - 1)
        off[left_out] = (measured / predicted - 1) / without.relative_sd(terms[left_out])
    return Combined(combine(weights, terms, timed.latency_ms, priced), tuple(usable), errors, off)


def combined_table(config: TransferConfig, command: str) -> LatencyTable:
    """The estimated table; InputError where networks or sources do not suffice. command: as typed, for the header"""
    assert config.networks is not None
    spaces = [get_space(name, config.num_classes) for name in config.space]
    timed = read_checked(config, spaces)
    check_named(config, timed)
    resolutions = config.resolutions or RESOLUTIONS
    blocks = list(dict.fromkeys(block for space in spaces for block in all_blocks(space, resolutions)))
    sources = open_sources(config.sources, config.networks, config.column, timed)
    try:
        found = combined(timed, sources, blocks)
    except InputError as error:
        raise InputError(f"{config.networks}: {error}") from None
    header = {
        **common_header(config, timed, spaces, _rests_on(found, timed), command),
        "networks": describe(timed),
        **{key: timed.header[key] for key in OF_NETWORKS if key in timed.header},
        **_constant(found.combination, timed),
        **{key: timed.header[key] for key in ("assumed",) if key in timed.header},
    }
    latencies = np.maximum(more_terms_of(blocks) @ _priced(found.combination.weights_ms, timed), LEAST_MS)
    rows = [TableRow(block, float(f"{ms:.4g}")) for block, ms in zip(blocks, latencies.tolist(), strict=True)]
    copied = [source.own_figures for source in found.sources if source.own_figures]
    if copied:
        return LatencyTable(header, rows).with_error(f"not known: {copied[0]}: leave that source out")
    words = error_in_words(found.errors_pct, timed.latency_ms, timed.step_ms)
    table = LatencyTable(header, rows).with_error(words)
    terms, without = terms_of_networks(timed.blocks), timed.header.get("without", "").split()
    known = uncertainty(found.combination, found.off, terms, blocks, without)
    check_agree(config.networks, known)
    return with_doubt(table.with_uncertainty(known), spaces, resolutions, stated(found.errors_pct))


def _priced(weights_ms: Floats, timed: TimedNetworks) -> Floats:
    """The weights without terms that the networks' file says cost nothing: `# without: swish`, say."""
    weights = weights_ms.copy()
    for name in timed.header.get("without", "").split():
        if name not in MORE_TERMS:
            raise InputError(f"header without: {short(name)} is no term, expected some of {', '.join(MORE_TERMS)}")
        weights[MORE_TERMS.index(name)] = 0.0
    return weights


def _constant(combination: Combination, timed: TimedNetworks) -> dict[str, str]:
    constant = float(combination.weights_ms[-1])
    if constant < _LEAST_CONSTANT * timed.latency_ms.min():
        return {}
    return {"sum_correction": f"{SumCorrection(constant=float(f'{constant:.4g}'))} (of every inference, fitted)"}


def _rests_on(found: Combined, timed: TimedNetworks) -> str:
    """What the table rests on, in words."""
    names = [source.name for source in found.sources]
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    sources = f"{len(names)} source{'s' * (len(names) > 1)} ({listed})"
    words = f"cost models of {sources}, combined on {len(timed.blocks)} whole networks"
    if found.combination.own:
        words += f" (by {100 * found.combination.own:.0f} % of these alone)"
    origin = timed.header.get("source", "")
    return words + (f": {origin}" if origin else "")
