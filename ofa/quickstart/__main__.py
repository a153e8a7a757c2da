"""`python -m ofa.quickstart`: from a folder of photographs to a network for this machine, command by command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ofa.cli.command import Command, check_inputs
from ofa.cli.console import make_console, spelled
from ofa.cli.run import run
from ofa.quickstart.config import QuickstartConfig

COMMAND = Command("ofa.quickstart", QuickstartConfig, example="photos/ --out out/quickstart")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    check_inputs(config)
    from ofa.quickstart.ending import ending
    from ofa.quickstart.run import STOPPED, QuickstartWatcher, run_quickstart
    from ofa.quickstart.steps import CommandStep

    console = make_console()

    def note(line: str) -> None:
        console.print(line, soft_wrap=True)
        sys.stdout.flush()  # before the commands write to the same place

    def begin(number: int, count: int, step: CommandStep, words: Sequence[str], seconds: float, left: float) -> None:
        note("")
        note(f"[{number}/{count}] {step.title}: about {spoken(seconds)}, about {spoken(left)} left in all")
        note(f"$ {spelled(step.module, *words)}")

    def failed(step: CommandStep, code: int) -> None:
        if step.makes.exists():
            note(f"done, with the remarks above (exit code {code}), and the next steps use its result: {step.title}")
        else:
            note(f"this step failed (exit code {code}), and the next steps do without it: {step.title}")

    def ended(step: CommandStep, seconds: float) -> None:
        note(f"done in {spoken(seconds)}: {step.title}")

    result = run_quickstart(config, QuickstartWatcher(note, begin, ended, failed))
    again = spelled("ofa.quickstart", config.images, *_options(config), "--resume")
    if result.step is not None:
        how = "stopped" if result.code == STOPPED else f"failed (exit code {result.code})"
        print(f"error: {how} in the step: {result.step.title}; continue with: {again}", file=sys.stderr)
    elif config.dry_run:
        note("nothing was run; the last commands depend on the results of the first")
    else:
        note("")
        for line in ending(config, result.state, result.places):
            note(line)
    return result.code


def spoken(seconds: float) -> str:
    """ "20 s", "3 min" """
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _options(config: QuickstartConfig) -> list[str]:
    """The options that were given, for the command that continues."""
    words = ["--out", str(config.out), "--minutes", f"{config.minutes:g}"]
    return [*words, *(["--from-scratch"] if config.from_scratch else [])]


if __name__ == "__main__":
    run(main)
