"""An estimated table: a cost model scaled to whole networks, and what is known of its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa import __version__
from ofa.blocks import Block, all_blocks
from ofa.errors import InputError
from ofa.space import RESOLUTIONS, SearchSpace, get_space
from ofa.space.header_lines import spaces_header
from ofa.tables import LatencyTable, TableRow
from ofa.tables.uncertainty import NOISE, LatencyUncertainty
from profilers.devices.phone.words import shareable
from profilers.estimating.combination import combine, uncertainty
from profilers.estimating.cost_model import (
    LEAST_FOR_TERMS,
    Fit,
    eleven,
    even_prior,
    fit_networks,
    fit_table,
    folds,
    table_terms,
    terms_of_networks,
)
from profilers.estimating.sources import able, of_table
from profilers.estimating.timed_networks import TimedNetworks, batch_of, check_related, read_in_unit
from profilers.estimating.transfer_config import TransferConfig
from profilers.measuring.statistics import kept_with

Floats = NDArray[np.float64]

_FEW = 5  # networks, below which their own leave-one-out error says little
_ROUNDING_PCT = 0.5  # figures rounded more coarsely than that say so
# a block none of whose terms the fit could tell from others' still takes some time
LEAST_MS = 1e-6
_NOT_STATED = "not stated by the source"
# what is true of the table too, where the networks' file says it
OF_NETWORKS = ("soc", "cpus", "cores", "delegate", "emulated")


def estimate(config: TransferConfig, source: LatencyTable | None, command: str) -> LatencyTable:
    """The estimated table; InputError where the networks do not suffice. source: of a related device, or none.

    command: as typed, for the header
    """
    assert config.networks is not None
    spaces = [get_space(name, config.num_classes) for name in config.space]
    times = read_checked(config, spaces)
    count = len(times.blocks)
    if source is None and count < LEAST_FOR_TERMS:
        raise InputError(
            f"{config.networks} has {count} network{'s' * (count != 1)}: name a table of a related device with --from, "
            f"or time at least {LEAST_FOR_TERMS}"
        )
    check_named(config, times)
    more = terms_of_networks(times.blocks)
    prior = even_prior(more) if source is None else _related(config, source, times, more)
    terms = eleven(more)
    fit = fit_networks(even_prior(terms) if source is None else fit_table(source), terms, times.latency_ms)
    resolutions = config.resolutions or RESOLUTIONS
    blocks = list(dict.fromkeys(block for space in spaces for block in all_blocks(space, resolutions)))
    header = {
        **common_header(config, times, spaces, _rests_on(config, source, times), command),
        "scaled_by": "one factor"
        if math.isinf(fit.strength)
        else f"a factor a term, held together by {fit.strength:g}",
        "networks": describe(times),
        **{key: times.header[key] for key in OF_NETWORKS if key in times.header},
    }
    table = LatencyTable(header, estimated_rows(fit, blocks)).with_error(
        error_in_words(fit.errors_pct, times.latency_ms, times.step_ms)
    )
    if not len(fit.errors_pct):
        return table
    known = _uncertainty(fit, prior, more, times, blocks)
    check_agree(config.networks, known)
    return with_doubt(table.with_uncertainty(known), spaces, resolutions, stated(fit.errors_pct))


def _uncertainty(
    fit: Fit, prior: Floats, terms: Floats, times: TimedNetworks, blocks: Sequence[Block]
) -> LatencyUncertainty:
    """How surely the networks tell of each block: that of a combination of this one source, (terms,)."""
    priced = np.eye(terms.shape[1])[-1:]
    off = np.zeros(len(terms))
    for left_out in folds(len(terms)):
        without = combine(prior[None], terms[~left_out], times.latency_ms[~left_out], priced, related=True)
        # measured against predicted, from the error of the predicted against the measured
        off[left_out] = (1 / (1 + fit.errors_pct[left_out] / 100) - 1) / without.relative_sd(terms[left_out])
    return uncertainty(combine(prior[None], terms, times.latency_ms, priced, related=True), off, terms, blocks)


def _related(config: TransferConfig, source: LatencyTable, times: TimedNetworks, terms: Floats) -> Floats:
    """(terms,) weights of the related device's table; InputError where it cannot be related."""
    assert config.networks is not None
    known = of_table(config.from_ or "", source)
    able([known], terms)
    there = terms @ known.weights_ms / source.batch
    batch = batch_of(times, config.networks, config.batch)
    if (there > 0).all():
        factor = float(np.median(times.latency_ms / batch / there))
        check_related(config.networks, batch, config.from_ or "", factor, config.unit)
    return known.weights_ms


def check_named(config: TransferConfig, times: TimedNetworks) -> None:
    """InputError where neither the networks' file nor an option names the device."""
    if not (config.device or times.header.get("device")):
        raise InputError(f"{config.networks} does not say '# device: ...': name it with --device")


def check_agree(networks: Path, known: LatencyUncertainty) -> None:
    """InputError where what no cost model explains is more than a table may state."""
    if 100 * known.noise > NOISE.most:
        raise InputError(
            f"{networks}: no cost model explains these latencies: a network is {100 * known.noise:.0f} % off what the "
            "others say of it. Does each latency stand beside its own network, and are all of one device?"
        )


def common_header(
    config: TransferConfig, times: TimedNetworks, spaces: Sequence[SearchSpace], rests_on: str, command: str
) -> dict[str, str]:
    """What every estimated table's header begins with. rests_on: in words; command: as typed"""
    return {
        "device": config.device or times.header["device"],
        "runtime": times.header.get("runtime", _NOT_STATED),
        "threads": times.header.get("threads", _NOT_STATED),
        "batch": str(config.batch or times.header.get("batch", "1")),
        "dtype": times.header.get("dtype", _NOT_STATED),
        "when": f"{datetime.now(UTC):%Y-%m-%d}",
        "tool": f"ofa-latency {__version__}",
        "provenance": "estimated",
        "source": rests_on,
        "command": shareable(command),
        **spaces_header(spaces),
        "resolutions": ", ".join(map(str, config.resolutions or RESOLUTIONS)),
    }


def read_checked(config: TransferConfig, spaces: Sequence[SearchSpace]) -> TimedNetworks:
    """The networks that were timed; InputError where they seem to be in another unit, and nobody said which.

    spaces: that they may be of, beside ours
    """
    assert config.networks is not None
    related = config.from_ is not None and not config.sources
    return read_in_unit(config.networks, config.column, config.unit, config.batch, spaces, related=related)


def check_replaceable(out: Path, overwrite: bool, device: str | None = None, networks: Path | None = None) -> None:
    """InputError where a table that is no estimate, or one of another device, would be replaced, unless it is to be.

    device: whose table is made, None: not known yet; networks: that were measured for it
    """
    if not out.exists() or overwrite:
        return
    old = LatencyTable.load(out)
    if old.provenance != "estimated":
        raise InputError(f"{out} is {old.provenance}, which no estimate replaces unless told by --overwrite")
    if device not in (None, old.device):
        kept = f" (--networks {networks} of profilers.transfer has what was measured)" if networks else ""
        raise InputError(
            f"{out} is an estimate of {old.device}, this one is of {device}: name another --out{kept}, or replace it "
            "with --overwrite"
        )


def _rests_on(config: TransferConfig, source: LatencyTable | None, times: TimedNetworks) -> str:
    """What the table rests on, in words."""
    how = f"of {config.from_} ({source.device}, {source.provenance}), scaled to" if source else "fitted on"
    networks_source = times.header.get("source", "")
    words = f"a cost model {how} {len(times.blocks)} whole networks"
    return words + (f": {networks_source}" if networks_source else "")


def estimated_rows(fit: Fit, blocks: Sequence[Block]) -> list[TableRow]:
    """What the model says of every block, to four digits."""
    latencies = np.maximum(table_terms(blocks) @ fit.weights_ms, LEAST_MS)
    return [TableRow(block, float(f"{ms:.4g}")) for block, ms in zip(blocks, latencies.tolist(), strict=True)]


def describe(times: TimedNetworks) -> str:
    """The range that the networks cover: what lies beyond it is extrapolated."""
    sizes = [blocks[0].in_size for blocks in times.blocks]
    low, high = times.latency_ms.min(), times.latency_ms.max()
    return f"{len(sizes)} of {', '.join(times.of)}, {min(sizes)} to {max(sizes)} px, {low:g} to {high:g} ms"


def stated(errors_pct: Floats) -> float:
    """What a table's error in words ends with: the per cent that 95 % of errors are within, or the worst of few."""
    errors = np.abs(errors_pct)
    bound = kept_with(errors, 95)
    return float(errors.max() if bound is None else bound)


def with_doubt(
    table: LatencyTable, spaces: Sequence[SearchSpace], resolutions: Sequence[int], stated_pct: float
) -> LatencyTable:
    """The table, which says so if the median standard deviation of a space's networks is more than its stated error.

    The stated error is of the timed networks. Those of a space may have what none of these has, or much more of it.
    """
    known = table.uncertainty
    assert known is not None
    unsure = {}
    for space in spaces:
        if (median := known.latencies(table.lookup(space, resolutions)).usual_sd_pct()) > stated_pct:
            unsure[space.name] = f"{median:.1f}" if median < 9.95 else f"{median:.0f}"
    if not unsure:
        return table
    of, sizes = ", ".join(unsure), ", ".join(unsure.values())
    return table.with_error(f"{table.header['expected_error']}; random networks of {of}: standard deviation {sizes} %")


def error_in_words(errors_pct: Floats, latency_ms: Floats, step_ms: float) -> str:
    """What is known of the error, for the table's header: of N networks, each predicted without it.

    The next network is within the worst of N with N / (N + 1), as a rank among exchangeable ones: with 95 % from 19 on.
    step_ms: what the last digit of the latencies stands for
    """
    errors = np.abs(errors_pct)
    count = len(latency_ms)
    if not len(errors):
        return "not known: one network fits the factor, and none is left to check it"
    bound = kept_with(errors, 95)
    far = f"{'worst' if bound is None else '95 % within'} {stated(errors_pct):.1f}"
    text = f"mean {errors.mean():.1f} %, {far} % of {count} networks, each predicted from others"
    if bound is None and count >= _FEW:
        text += f", which about {100 * count // (count + 1)} % of further ones keep"
    rounding = 50 * step_ms / latency_ms.min()
    if rounding > _ROUNDING_PCT:
        text += f"; their own figures are rounded to {step_ms:g} ms, which is up to {rounding:.1f} %"
    if count < _FEW:
        text += f"; {count} networks say little"
    return text
