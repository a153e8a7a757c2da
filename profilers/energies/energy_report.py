"""What a measurement of energies leaves: TABLE.energy.json, estimates in the table, and lines for the user."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ofa import __version__
from ofa.blocks.costs import count_macs
from ofa.cli.console import spelled
from ofa.errors import InputError
from ofa.runs.files import write_json
from ofa.tables import LatencyTable
from profilers.devices.phone.words import shareable
from profilers.energies.battery import RAIL, Units
from profilers.energies.energy_model import EnergyModel, NetworkEnergy, energies_of, fit_energies, with_energies
from profilers.energies.measured_energy import MeasuredEnergies
from profilers.whole_networks.choosing import Chosen


def written(table: Path) -> tuple[Path, Path]:
    """The files of a measurement, the table itself first."""
    return table, table.with_suffix(".energy.json")


def write_and_say(
    table: LatencyTable,
    chosen: Chosen,
    measured: MeasuredEnergies,
    half_s: float,
    command: str,
    say: Callable[[str], object],
) -> None:
    """Fits the model, writes both files, says what they hold. InputError where the table was changed meanwhile.

    half_s: how long the device idled, and then ran, in each turn; command: as typed
    """
    assert table.path is not None
    latency_ms = table.latency_ms(chosen.space, chosen.genes)
    mmacs = np.array([count_macs(chosen.space, subnet) / 1e6 for subnet in chosen.space.decode(chosen.genes)])
    energies = energies_of(measured.turns)
    model = fit_energies(latency_ms, mmacs, np.array([of.energy_mj for of in energies]))
    now = LatencyTable.load(table.path)
    if now.sums != table.sums:
        raise InputError(f"{table.path} was changed while its networks were measured: nothing is written into it")
    path, beside = written(table.path)
    when = datetime.now(UTC)
    facts = facts_of(model, energies, measured, half_s, when, len(table.rows))
    write_json(beside, to_json(chosen, measured, energies, model, latency_ms.tolist(), command, facts))
    with_energies(now, model, facts).save(path)
    for predicted, found, off in zip(latency_ms, energies, model.left_out, strict=True):
        say(f"{predicted:.4g} ms: {found.energy_mj:.4g} mJ a run, +- {found.error_mj:.2g}; the model is off {off:+.1%}")
    say(f"a block is estimated to take {model}; {facts['energy_error_pct']}")
    say(facts["energy_rests_on"])
    say(f"wrote {beside}, and an estimated energy of every block into {path}")
    say(f"next: {spelled('ofa.search', '--table', path, '--frontier', 'energy')}")


def facts_of(
    model: EnergyModel,
    energies: list[NetworkEnergy],
    measured: MeasuredEnergies,
    half_s: float,
    when: datetime,
    blocks: int,
) -> dict[str, str]:
    """For the table's header."""
    idle = np.median([turn.idle.power_mw for of in measured.turns for turn in of])
    error = np.median([100 * of.error_mj / of.energy_mj for of in energies])
    rounds = len(measured.turns[0])
    return {
        "energy_provenance": "estimated",
        "energy_counter": f"{_counter(measured.units)}, what an idle device takes subtracted",
        "energy_blocks": str(blocks),
        "energy_model": str(model),
        "energy_error_pct": f"{model.mape_pct:.1f} in the mean and {model.worst_pct:.1f} at most over {len(energies)} "
        f"whole networks, each left out of the fit; their own standard error is {error:.1f}",
        "energy_rests_on": f"{len(energies)} whole networks without a pause, {rounds} times {half_s:g} s each "
        f"({when:%Y-%m-%d}); idle {idle:.0f} mW; {measured.units.words(measured.negative)}",
    }


def _counter(units: Units) -> str:
    """What the energies were read from."""
    if units.source.startswith(RAIL):
        return f"the board's input, {units.source}"
    return f"the battery's {'charge counter' if units.counts else 'current'} and voltage"


def to_json(
    chosen: Chosen,
    measured: MeasuredEnergies,
    energies: list[NetworkEnergy],
    model: EnergyModel,
    latency_ms: list[float],
    command: str,
    facts: dict[str, str],
) -> dict[str, Any]:
    """Everything that was found, network by network."""
    subnets = chosen.space.decode(chosen.genes)
    rows = zip(subnets, latency_ms, energies, measured.turns, model.left_out.tolist(), strict=True)
    return {
        "space": chosen.space.name,
        "command": shareable(command),
        "tool": f"ofa-latency {__version__}",
        **facts,
        "networks": [
            {
                "predicted_ms": round(predicted, 6),
                "energy_mj": round(energy.energy_mj, 6),
                "energy_error_mj": round(energy.error_mj, 6),
                "turns_mj": [round(turn.energy_mj, 6) for turn in turns],
                "idle_mw": [round(turn.idle.power_mw, 3) for turn in turns],
                "busy_mw": [round(turn.busy.power_mw, 3) for turn in turns],
                "left_out_pct": round(100 * off, 3),
                "subnet": subnet.to_dict(),
            }
            for subnet, predicted, energy, turns, off in rows
        ],
    }
