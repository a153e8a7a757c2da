"""`python -m profilers.energy`: millijoules of whole networks by a device's battery, and estimates for blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.runs.lock import Lock
from profilers.energies.energy_config import EnergyConfig
from profilers.profiling.command_words import command_line, continued

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.tables import LatencyTable
    from profilers.energies.measured_energy import MeasuredEnergies
    from profilers.whole_networks.choosing import Chosen

COMMAND = Command("profilers.energy", EnergyConfig, "--table my-phone.csv --serial 192.168.1.20:5555")
# agents that tell of a battery
AGENTS = ("android", "linux")


def main(argv: Sequence[str] | None = None) -> int:
    return measure_energy(COMMAND.parse(argv), command_line("profilers.energy", argv))


def measure_energy(config: EnergyConfig, command: str) -> int:
    """Measures networks, fits a model, and writes energies into the table. command: as typed"""
    import numpy as np

    from ofa.errors import InputError
    from ofa.runs.journal import finish
    from ofa.runs.places import check_writable
    from ofa.tables import LatencyTable, find_table
    from profilers.energies.energy_report import write_and_say, written
    from profilers.looping.loop import check_loops
    from profilers.whole_networks.choosing import Chosen, space_of, stratified
    from profilers.whole_networks.measured import require_measured

    path = find_table(config.table)
    table = LatencyTable.load(path)
    require_measured(table, "measured for energy")
    check_loops(table)
    if table.emulated:
        raise InputError(f"{path} was measured on an emulated device: what is measured there means nothing")
    if (agent := table.header.get("agent", "cpu")) not in AGENTS:
        raise InputError(f"{path} is of the agent {agent!r}: batteries are those of phones and boards")
    for file in written(path):
        check_writable(file)
    space, resolutions = space_of(table, config.space, config.num_classes)
    genes = stratified(table, space, resolutions, config.networks, np.random.default_rng(config.seed))
    chosen, console = Chosen(space, genes, ()), make_console()
    with Lock(path):
        measured = _measured(config, command, table, chosen, console)
        write_and_say(table, chosen, measured, config.half, command, console.out)
        finish(_journal_of(path))
    return 0


def _journal_of(table: Path) -> Path:
    return table.with_suffix(".energy.journal.jsonl")


def _measured(
    config: EnergyConfig, command: str, table: LatencyTable, chosen: Chosen, console: Console
) -> MeasuredEnergies:
    """What the battery says of the networks; SystemExit after Ctrl-C, saying how to go on."""
    from ofa.cli.console import progress_bar
    from ofa.runs.journal import Journal
    from ofa.runs.places import temporary_folder
    from ofa.runs.settings import identity_of
    from profilers.devices.from_header import open_target
    from profilers.energies.measured_energy import Halves, make_turns, order_of
    from profilers.measuring.models import write_models
    from profilers.profiling.console import ended_with_words
    from profilers.whole_networks.measured import of_table

    assert table.path is not None
    path = _journal_of(table.path)
    given = {key: value for key, value in identity_of(config).items() if key != "table"}
    settings = {**given, "sums": table.sums, "networks": chosen.genes.tolist()}
    journal = Journal.begin(path, settings, resume=config.resume, overwrite=config.overwrite)
    again = continued(command)
    order = order_of(len(chosen.genes), config.rounds, config.seed)
    with (
        ended_with_words(journal, lambda: f"; finished turns are in {path}; continue with: {again}"),
        temporary_folder("models") as folder,
        progress_bar(console) as bar,
        open_target(table, config, config.timeout, console.out, fixed_performance=False) as target,
    ):
        chains = {f"network{i}": chain for i, chain in enumerate(chosen.chains())}
        files = list(write_models(chains, target.runtime, folder, target.batch, target.dtype).values())

        def progress(made: int, of: int) -> None:
            bar.show("measuring", made, of)
            if not console.is_terminal:
                turn = 2 * config.half / 60
                each = "a minute" if turn == 1 else f"{turn:g} minutes"
                console.out(f"measured {made} of {of} turns of {each}, about {(of - made) * turn:.0f} min left")

        halves, asked = Halves.of(config.half), of_table(target, table)
        return make_turns(journal, asked, folder, files, order, config.seed, progress, halves)


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
