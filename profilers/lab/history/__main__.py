"""`python -m profilers.lab.history FOLDER`: each device against its own earlier tables."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console
from ofa.errors import one_line
from ofa.optional_packages import require
from ofa.runs.files import write_json
from ofa.runs.places import check_replaced
from profilers.lab.history.config import HistoryConfig

COMMAND = Command("profilers.lab.history", HistoryConfig, "nights/ --json out/history.json")
MOST_LISTED = 20


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    require("scipy", "comparing tables")
    check_inputs(config)
    if config.json:
        check_replaced(config.json, {"history"}, "what profilers.lab.history writes", name="--json")

    from profilers.lab.history.history import read_histories, to_json

    histories, left_out = read_histories(config.folders, config.effect / 100, config.alpha)
    say = make_console().out
    for history in histories:
        nights = history.nights
        known = f" (id {one_line(history.device_id)})" if history.device_id else ""
        runtime = one_line(history.settings["runtime"])
        say(
            f"{one_line(history.device)}{known}, {runtime}: {len(nights)} tables, {nights[0].day} to {nights[-1].day}: "
            f"{'the last is not like those before it' if history.aside else nights[-1].state}",
            highlight=False,
        )
        for event in history.events:
            say(f"  {event}", highlight=False)
    for left in left_out[:MOST_LISTED]:
        say(f"left out: {left.why}", highlight=False)
    if len(left_out) > MOST_LISTED:
        say(f"left out: {len(left_out) - MOST_LISTED} more", highlight=False)
    if config.json:
        write_json(config.json, to_json(histories))
    return 1 if any(history.aside for history in histories) else 0


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main, failed=2)
