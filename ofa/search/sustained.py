"""Limits that are to be kept on a device that has run for long: `--sustained` divides them by the tables' factors."""

from __future__ import annotations

from collections.abc import Mapping

from ofa.cli.console import spelled
from ofa.errors import InputError
from ofa.tables import LatencyTable
from ofa.tables.margin import SustainedFactor


def factors_of(tables: Mapping[str, LatencyTable]) -> dict[str, SustainedFactor]:
    """Of each table, by its name; InputError where one does not tell, or was changed since."""
    return {name: _factor_of(table) for name, table in tables.items()}


def _factor_of(table: LatencyTable) -> SustainedFactor:
    found = table.sustained
    measure = (
        f"search without --sustained, then {spelled('profilers.verify', '--table', table.path)} --result RESULT "
        "--latency MS --sustained 10m --record"
    )
    if table.provenance != "measured":
        # what stands in an imported or estimated table was measured for another one
        raise InputError(
            f"--sustained rests on a network that ran for minutes on the device, and {table.path} is "
            f"{table.provenance}: measure a table on the device, or leave --sustained out"
        )
    if found is None:
        raise InputError(
            f"--sustained rests on a network that ran for minutes on the device, and {table.path} has none: "
            f"{measure}; or leave --sustained out"
        )
    if found.sums != table.sums:
        raise InputError(
            f"{table.path}: rows or sum_correction were changed after its sustained factor was measured: put them "
            f"back, or measure it again ({measure})"
        )
    return found


def sustained_in_words(table: LatencyTable, factor: SustainedFactor | None) -> str | None:
    """What a search says of a hot device. factor: what limits were divided by; None: nothing was taken off."""
    if factor is not None:
        return (
            f"limits are those of a hot device: searched within limits divided by {factor}; others may slow otherwise"
        )
    found = table.sustained
    if found is None or found.sums != table.sums or found.factor == 1:
        return None
    return f"on a hot device a network took {found} times as long: --sustained takes that off the limits"
