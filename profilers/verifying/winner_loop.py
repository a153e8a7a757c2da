"""The verified network in a loop, from the device to verified.json: what `--sustained` adds to a verification."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.reading.structured import read_json
from ofa.runs.files import write_json
from ofa.runs.places import check_writable
from profilers.devices.from_header import open_target
from profilers.looping.loop import Loop, check_loops, make_loop, open_loop
from profilers.looping.loop_report import minute_in_words, print_sustained, shown, to_json
from profilers.looping.minutes import LoopPlan, Record, minutes_of, sustained_of
from profilers.profiling.command_words import continued
from profilers.profiling.console import ended_with_words
from profilers.verifying.record import path_of, record
from profilers.verifying.rounds import finish_rounds
from profilers.verifying.searched import Searched
from profilers.verifying.verification import Verified
from profilers.verifying.verify_config import VerifyConfig
from profilers.whole_networks.measured import of_table

if TYPE_CHECKING:
    from rich.console import Console


def check_looping(config: VerifyConfig, searched: Searched) -> None:
    """InputError where a loop is asked for that cannot be, before anything is measured."""
    if config.sustained is None:
        return
    check_loops(searched.search.table)
    if len(searched.limits) != 1:
        limits = ", ".join(f"{limit:g}" for limit in searched.limits)
        raise InputError(f"--sustained runs one network, and there are limits of {limits} ms: name one by --latency")
    if config.record:
        check_writable(path_of(searched.search.table))


def loop_and_write(config: VerifyConfig, command: str, searched: Searched, verified: Verified, console: Console) -> int:
    """Runs the network that keeps a limit, says what it takes, and adds it to the file; 1 if the limit breaks."""
    winner = verified.choice.winner
    assert config.sustained is not None
    assert winner is not None
    assert winner.times.even_ms is not None, "an even visit certified it"
    plan = LoopPlan(config.sustained, config.rate)
    loop = _Looping(config, command, searched, verified, plan, console).made()
    found = sustained_of(loop.windows, plan)
    content = read_json(config.file)
    (result,) = content["results"]
    figures = to_json(found, loop, plan, config.rest, winner.times.even_ms)
    write_json(config.file, {**content, "results": [{**result, "sustained": figures}]})
    finish_rounds(config.file)  # whatever is recorded of it
    kept = print_sustained(console, found, searched.factor * verified.limit_ms)
    console.out(f"wrote it into {config.file}; every sample is in {config.loop_journal}")
    if config.record:
        console.out(record(searched, winner, found, figures["rests_on"]))
    return 0 if kept else 1


class _Looping:
    """One loop as the command shows it, and how it ends."""

    def __init__(
        self,
        config: VerifyConfig,
        command: str,
        searched: Searched,
        verified: Verified,
        plan: LoopPlan,
        console: Console,
    ) -> None:
        assert verified.choice.winner is not None
        self._config, self._searched, self._plan, self._console = config, searched, plan, console
        self._resume = continued(command)
        self._subnet = verified.choice.winner.network.subnet
        self._windows: Sequence[Record] = ()

    def made(self) -> Loop:
        """The loop, run now or read as it was. SystemExit after Ctrl-C; InputError where the agent ends too early."""
        config, plan, table = self._config, self._plan, self._searched.search.table
        settings = {
            "device": {key: table.header.get(key) for key in ("agent", "device", "soc", "runtime", "threads", "batch")},
            "network": self._subnet.to_dict(),
            "rest": config.rest,
            "seed": config.seed,
        }
        journal, made = open_loop(config.loop_journal, settings, plan, resume=config.resume)
        with ended_with_words(journal, lambda: f"{self._so_far()}; begin the loop again with: {self._resume}"):
            if made is not None:
                self._say_minutes(made)
                return made
            if journal.records:
                self._console.out("the loop begins again: the device has cooled since it was ended")
            with shown(self._console, plan) as watch:
                self._rest()
                with open_target(table, config, config.timeout, self._console.out, fixed_performance=False) as target:
                    chain = blocks_of(self._searched.search.space, self._subnet)
                    self._console.out(f"running it {plan.words()} for {plan.minutes} minutes")
                    return make_loop(journal, of_table(target, table), chain, plan, config.seed, self._kept_and(watch))

    def _rest(self) -> None:
        if self._config.rest:
            self._console.out(f"resting for {self._config.rest:g} s, so that the first minute begins on a cool device")
            time.sleep(self._config.rest)

    def _kept_and(self, watch: Callable[[Sequence[Record]], object]) -> Callable[[Sequence[Record]], object]:
        def kept(windows: Sequence[Record]) -> None:
            self._windows = windows
            watch(windows)

        return kept

    def _say_minutes(self, loop: Loop) -> None:
        for minute in minutes_of(loop.windows):
            self._console.out(minute_in_words(minute, self._plan))

    def _so_far(self) -> str:
        """The minutes that there are, for a message."""
        minutes = minutes_of(self._windows)
        each = ", ".join(f"{minute.median_ms:.4g}" for minute in minutes)
        return f" after {len(minutes)} of {self._plan.minutes} minutes" + (f" ({each} ms)" if minutes else "")
