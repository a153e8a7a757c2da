"""Networks that are in no space, measured beside those of a table's space: what they take, and what the table says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ofa.errors import InputError
from ofa.published.block_network import BlockNetwork
from ofa.published.opening import open_network
from ofa.reading.amounts import amount
from ofa.tables import LatencyTable
from ofa.tables.lookup import BlockSum, sum_of_blocks
from profilers.measuring.statistics import standard_error_of_median
from profilers.whole_networks.measured import MeasuredNetwork, MeasuredNetworks


@dataclass(frozen=True, eq=False)
class BesideNetwork:
    """times: None where it could not be measured; sum: of its blocks in the table"""

    network: BlockNetwork
    times: MeasuredNetwork | None
    sum: BlockSum

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        network, times = self.network, self.times
        measured: dict[str, Any] = {"measured_ms": None, "visits_ms": [], "standard_error_pct": None, "doubtful": False}
        if times is not None:
            error = standard_error_of_median(times.visits_ms) if len(times.visits_ms) > 1 else None
            measured = {
                "measured_ms": round(times.latency_ms, 6),
                "visits_ms": list(times.visits_ms),
                "standard_error_pct": None if error is None else round(100 * error / times.latency_ms, 3),
                "doubtful": times.doubtful,
            }
        predicted = self.sum.latency_ms
        return {
            "name": network.name,
            "source": network.source,
            "resolution": network.resolution,
            "macs_millions": round(network.macs / 1e6, 3),
            "params_millions": round(network.params / 1e6, 6),
            "top1": network.top1,
            "predicted_ms": None if predicted is None else round(predicted, 6),
            "missing_blocks": len(self.sum.missing),
            **measured,
        }


def open_beside(names: Sequence[str]) -> tuple[BlockNetwork, ...]:
    """The networks of these names and files; InputError for what is none, and for a network that is there twice."""
    networks = tuple(open_network(name) for name in names)
    for i, network in enumerate(networks):
        network.require_file_size()
        if any(network.blocks == other.blocks for other in networks[:i]):
            raise InputError(f"--also names {network.name} twice")
    return networks


def journal_settings(networks: Sequence[BlockNetwork]) -> dict[str, Any]:
    """What binds a journal to these networks; nothing where there are none, as in journals from before."""
    return {"also": [[str(block) for block in network.blocks] for network in networks]} if networks else {}


def split(measurement: MeasuredNetworks, count: int) -> tuple[MeasuredNetworks, tuple[MeasuredNetwork | None, ...]]:
    """The first `count` networks of a measurement, and what was measured of the others."""
    return replace(measurement, networks=measurement.networks[:count]), measurement.networks[count:]


def beside_of(
    networks: Sequence[BlockNetwork], times: Sequence[MeasuredNetwork | None], table: LatencyTable
) -> list[BesideNetwork]:
    """table: whose sums stand beside what was measured"""
    return [
        BesideNetwork(network, own, sum_of_blocks(table, network.blocks))
        for network, own in zip(networks, times, strict=True)
    ]


def say_beside(found: Sequence[BesideNetwork], batch: int, say: Callable[[str], None]) -> None:
    """A line for each. batch: how many images at once the latencies are for"""
    for one in found:
        name = f"{one.network.name}, {one.network.resolution} px"
        if one.times is None:
            say(f"{name}: could not be measured")
            continue
        predicted, took = one.sum.latency_ms, one.times.latency_ms
        lacking = f"the table lacks {len(one.sum.missing)} of its blocks"
        against = lacking if predicted is None else f"{predicted / took - 1:+.1%}: sum of blocks {predicted:.4g} ms"
        doubtful = "? (the machine was busy or drifted)" if one.times.doubtful else ""
        say(f"{name}: {amount(took, 'ms', batch, '.4g')} measured{doubtful}; {against}")
