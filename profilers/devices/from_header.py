"""Which device a table was measured on, by its header, so that the same device can be asked again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ofa.errors import InputError
from ofa.tables import LatencyTable
from profilers.devices import local_cpu, nvidia
from profilers.measuring.target import Target

# the header's "agent", which tables of the CPU do not have
_TARGETS: dict[str, Callable[[Mapping[str, str], float], Target]] = {
    "cpu": local_cpu.target_of_header,
    "cuda": nvidia.target_of_header,
}


def target_of(table: LatencyTable, timeout_s: float) -> Target:
    """The device of a measured table; InputError if it is not to be had here."""
    agent = table.header.get("agent", "cpu")
    if agent not in _TARGETS:
        raise InputError(
            f"{table.path} was measured by the agent {agent!r}: whole networks can so far only be measured on this "
            f"machine ({', '.join(_TARGETS)})"
        )
    try:
        return _TARGETS[agent](table.header, timeout_s)
    except InputError as error:
        raise type(error)(f"{table.path}: {error}") from None
