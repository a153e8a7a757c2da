"""`python -m profilers.lab announce`, `run` and `status`: many devices on several hosts, as one."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ofa.cli.command import Command, choose
from ofa.cli.console import make_console, progress_bar
from ofa.optional_packages import require
from profilers.lab.config import AnnounceConfig, RunLabConfig, StatusConfig

if TYPE_CHECKING:
    from profilers.lab.run.driver import Task

COMMANDS: Mapping[str, Command[Any]] = {
    "announce": Command("profilers.lab announce", AnnounceConfig, "--board pi@raspberrypi.local --timed-cpus 1"),
    "run": Command("profilers.lab run", RunLabConfig, "--config lab.toml --out out/lab"),
    "status": Command("profilers.lab status", StatusConfig, "--run out/lab"),
}
LINE_EVERY_S = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    config = choose("python -m profilers.lab", COMMANDS, argv)
    if isinstance(config, AnnounceConfig):
        return announce(config)
    return run(config) if isinstance(config, RunLabConfig) else status(config)


def announce(config: AnnounceConfig) -> int:
    """Until it is stopped: 130."""
    require("ray", "a lab")
    from profilers.lab.host.announcing import announce as begin
    from profilers.profiling.console import STOPPED

    try:
        begin(config, _line, _warn)
    except KeyboardInterrupt:
        print("stopped; this host and its devices are no longer in the lab", file=sys.stderr)
    return STOPPED


def run(config: RunLabConfig) -> int:
    """0 all jobs ended well, 1 some with 1, 2 some failed, 130 stopped."""
    from profilers.lab.plan import read_entries

    read_entries(config.config)  # a mistake there is named before Ray is asked for
    require("ray", "a lab")
    from profilers.lab.cluster import RayHosts, connected
    from profilers.lab.run.runs import resumed, run_lab

    console = make_console()
    then = f"and its hosts are announced, go on with: {resumed(config)}"
    with connected(config.address, then) as head, progress_bar(console, counted=True) as bar:
        shown = _Shown(bar if console.is_terminal else None)
        return run_lab(config, RayHosts(head), console.out, shown)


def status(config: StatusConfig) -> int:
    """0; 2 where a job of the run that is shown has failed."""
    from profilers.lab.status import lab_lines, run_lines

    if config.run is None:
        require("ray", "a lab")
    lines, code = run_lines(config.run) if config.run is not None else ([], 0)
    if config.run is None or config.address != "auto":
        from profilers.lab.cluster import RayHosts, connected

        with connected(config.address, "ask again") as head:
            hosts = RayHosts(head)
            lines = [*lab_lines(hosts.look(), hosts.doing()), *lines]
    say = make_console().out
    for line in lines:
        say(line)
    return code


class _Shown:
    """How far a run is: bars where there is a terminal, else a line of all now and then."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._told = time.monotonic()
        self._looked = 0.0

    def __call__(self, tasks: Sequence[Task]) -> None:
        from profilers.lab.logs import progress_at
        from profilers.lab.orders import LOG
        from profilers.lab.status import summary

        now = time.monotonic()
        if self._bar is None:
            if now - self._told >= LINE_EVERY_S:
                self._told = now
                _line(summary(tasks))
        elif now - self._looked >= 1:
            self._looked = now
            for task in tasks:
                progress = progress_at(task.folder / LOG) if task.state == "runs" else None
                if progress is not None:
                    self._bar.show(task.job.name, progress.made, progress.total)


def _line(text: str) -> None:
    make_console().out(text)


def _warn(text: str) -> None:
    print(text if text.startswith("warning: ") else f"warning: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    from ofa.cli.run import run as run_command

    run_command(main, failed=2)
