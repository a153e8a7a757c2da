"""`python -m profilers.verify`: the networks that a search found, measured whole on the table's device."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.errors import InputError
from ofa.runs.lock import Lock
from ofa.runs.settings import identity_of
from profilers.profiling.command_words import command_line, continued
from profilers.verifying.verify_config import VerifyConfig

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.runs.journal import Journal
    from profilers.measuring.target import Target
    from profilers.verifying.searched import Searched
    from profilers.verifying.verification import Verification
    from profilers.whole_networks.measured import Measure

COMMAND = Command("profilers.verify", VerifyConfig, "--table my-cpu.csv --result out/search/result.json")


def main(argv: Sequence[str] | None = None) -> int:
    return verify_found(COMMAND.parse(argv), command_line("profilers.verify", argv))


def verify_found(config: VerifyConfig, command: str) -> int:
    """Measures a result's networks; 1 if a limit is not kept, or the machine is not as it was. command: as typed"""
    from ofa.runs.places import check_replaced, check_writable
    from ofa.tables import LatencyTable, find_table
    from profilers.devices.from_header import open_target
    from profilers.verifying.accuracies import check_evaluation
    from profilers.verifying.rounds import check_begun, finish_rounds
    from profilers.verifying.searched import read_searched
    from profilers.verifying.winner_loop import check_looping, loop_and_write
    from profilers.whole_networks.beside import open_beside
    from profilers.whole_networks.measured import of_table, require_measured

    table = LatencyTable.load(find_table(config.table))
    require_measured(table, "verified")
    if table.emulated:
        raise InputError(f"{table.path} was measured on an emulated device: what is measured there means nothing")
    searched = read_searched(config, table)
    for written in config.files:
        check_writable(written)
    check_replaced(config.file, {"results", "verification"}, "what profilers.verify writes")
    open_beside(config.also)
    check_looping(config, searched)
    check_evaluation(config)
    console = make_console()
    with Lock(config.file):
        if not config.resume:
            check_begun(config.file, config.overwrite)
        with open_target(table, config, config.timeout, console.out) as target:
            code, found = measure_and_write(config, command, searched, of_table(target, table), console)
        if config.sustained is not None and found.kept:
            code = max(code, loop_and_write(config, command, searched, found.kept[0], console))
        finish_rounds(config.file)
        return code


def measure_and_write(
    config: VerifyConfig, command: str, searched: Searched, target: Target, console: Console
) -> tuple[int, Verification]:
    """Measures round after round, says what was found, writes it; 1 as `verify_found`, and what was found."""
    from ofa.runs.files import write_json
    from profilers.profiling.console import measure_shown
    from profilers.verifying.accuracies import with_accuracies
    from profilers.verifying.rounds import Rounds, timing_of
    from profilers.verifying.verification import verify
    from profilers.verifying.verification_report import draw, ending, print_verification, say_round, to_json
    from profilers.whole_networks.beside import beside_of, journal_settings, open_beside, say_beside
    from profilers.whole_networks.choosing import controls_of
    from profilers.whole_networks.occasions import table_identity

    table, timing = searched.search.table, timing_of(config, target.pace)
    resume = continued(command)
    others = open_beside(config.also)

    def measure_into(journal: Journal) -> Measure:
        return partial(measure_shown, journal=journal, console=console, resume=resume)

    rounds = Rounds(
        space=searched.search.space,
        controls=controls_of(table, timing.controls),
        target=target,
        timing=timing,
        seed=config.seed,
        file=config.file,
        # --record writes into the header: what was measured before is still of the same table
        settings={**identity_of(config), "table": table_identity(table), **journal_settings(others)},
        resume=config.resume,
        overwrite=config.overwrite,
        measure_into=measure_into,
        beside=[network.blocks for network in others],
    )
    tell = partial(say_round, batch=table.batch, console=console)
    asked = {"visits": timing.visits, "near": config.near, "again": config.again, "seed": config.seed}
    found = verify(searched, rounds.measure, **asked, tell=tell)
    beside = beside_of(others, rounds.measured_beside, table)
    content = to_json(found, searched, config, command, datetime.now(UTC))
    if beside:
        content["also"] = [one.to_dict() for one in beside]
    write_json(config.file, content)
    print_verification(console, searched.search.name, table, found)
    say_beside(beside, table.batch, console.out)
    if draw(config.file.with_suffix(".png"), table, found):
        console.print(f"wrote {config.file} and .png", soft_wrap=True)
    else:
        console.print(f"wrote {config.file}; no plot: it needs matplotlib: pip install 'ofa-latency[report]'")
    if config.data is not None and found.kept:
        write_json(config.file, with_accuracies(config, content, console))
    return ending(found, config, console, searched.search.space.name), found


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
