"""A whole space measured on a device into a table, from the options to the file."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ofa.cli.console import make_console
from ofa.errors import InputError
from ofa.reading.numbers import cut
from ofa.runs.journal import Journal
from ofa.runs.lock import Lock, sweep
from ofa.space.description import space_identity
from ofa.tables import LatencyTable
from profilers.measuring.models import refuse_other_form
from profilers.measuring.pace import ENERGY_SECONDS
from profilers.measuring.target import Target
from profilers.profiling.command_words import continued
from profilers.profiling.console import measure_shown
from profilers.profiling.profile_options import ProfileOptions
from profilers.profiling.profile_report import report, say_failures, table_of
from profilers.profiling.work import Work, planned


def profile(options: ProfileOptions, target: Target, command: str, source: str | None = None) -> int:
    """Measures every block of the space on the target into the table options.out; 1 if blocks failed.

    command: as typed, to be gone on with, and for the table's header; source: for the header in place of it, where the
    command tells what nobody else should read
    """
    started = time.monotonic()
    work, target = planned(options, target.pace, target.in_place), asked_of(options, target)
    journal = open_journal(options, identity(options, work, target))
    sweep(options.out)
    console = make_console()
    resume = continued(command)
    outcome = measure_shown(work.plan, target, work.rules, options.seed, journal, console, resume)
    say_failures(console, work, outcome)
    table = table_of(options, work, outcome, target, command if source is None else source)
    if not options.overwrite and (kept := keep_estimate(options.out, table.device)):
        console.print(f"the estimate that was there is of another device: it is {kept} now", soft_wrap=True)
    table.save(options.out)
    return report(console, options, outcome, table, resume, time.monotonic() - started)


def asked_of(options: ProfileOptions, target: Target) -> Target:
    """The target, asked for what the options want of any device."""
    energy = {"energy_seconds": ENERGY_SECONDS} if options.energy else {}
    parts = {"parts_rules": target.pace.in_place.parts} if target.in_place and target.pace.in_place else {}
    return replace(target, manifest={**target.manifest, **energy, **parts})


def identity(options: ProfileOptions, work: Work, target: Target) -> dict[str, Any]:
    """The settings that a journal is bound to."""
    return {
        **space_identity(work.space),
        "num_classes": work.space.num_classes,
        "resolutions": list(options.resolutions),
        "batch": options.batch_size,
        "rounds": work.rounds,
        "blocks": work.measured,
        # not told where there are none, so that journals of before there were any are gone on with
        **({"carriers": len(work.carriers)} if work.carriers else {}),
        **({"networks": len(work.networks)} if work.networks else {}),
        "seed": options.seed,
        **({"model_dtype": target.dtype} if target.dtype != "fp32" else {}),
        "rules": work.rules,
        **target.manifest,
    }


def open_journal(options: ProfileOptions, settings: Mapping[str, Any]) -> Journal:
    """A new or a resumed journal; InputError rather than losing an older table or journal. An estimate is no loss."""
    out, path = options.out, options.out.with_suffix(".journal.jsonl")
    if out.is_dir():
        raise InputError(f"--out is the folder {out}, expected a file that ends in .csv")
    if not options.overwrite:
        _refuse_other_space(out, path, str(settings["space"]))
    if options.resume and path.is_file():
        _check_options(path, settings)
    elif not options.overwrite and not options.resume:
        Lock(path).release()  # who is at it is said first: its journal is of no interrupted run
        for existing, what in ((out, "exists"), (path, "is the journal of an interrupted run")):
            if existing.exists() and not (existing == out and _estimate(out)):
                raise InputError(f"{existing} {what}: continue it with --resume, or start again with --overwrite")
    elif options.resume and out.exists() and not _estimate(out):
        raise InputError(f"there is no journal {path} to resume; {out} exists: start again with --overwrite")
    return Journal.begin(path, settings, resume=options.resume, overwrite=options.overwrite)


def keep_estimate(out: Path, device: str) -> Path | None:
    """Moves away an estimated table of another device, which cannot be told from this one before that is measured.

    Its new place; None where nothing was in the way of a table of `device`.
    """
    there = _estimate(out)
    if there is None or there.device == device:
        return None
    numbered = (out.with_suffix(f".estimated.{number}.csv") for number in itertools.count(2))
    places = itertools.chain([out.with_suffix(".estimated.csv")], numbered)
    return out.rename(next(place for place in places if not place.exists()))


def _estimate(out: Path) -> LatencyTable | None:
    """The table that is there, if it is an estimate."""
    there = _table(out)
    return there if there is not None and there.provenance == "estimated" else None


def _table(out: Path) -> LatencyTable | None:
    try:
        return LatencyTable.load(out)
    except InputError:
        return None


def _begun_with(path: Path) -> str | None:
    """The space of a journal; None where there is none that can be read."""
    try:
        space = Journal.read(path).settings.get("space") if path.is_file() else None
    except InputError:
        return None
    return space if isinstance(space, str) else None


def _refuse_other_space(out: Path, path: Path, space: str) -> None:
    """InputError where the table or the journal that is there is of another space, which neither way out adds to."""
    there = _table(out)
    if there is not None and space not in there.spaces and there.provenance != "estimated":
        file, spaces = out, there.spaces
    elif there is None and (begun := _begun_with(path)) is not None and begun != space:
        file, spaces = path, (begun,)
    else:
        return
    raise InputError(
        f"{file} is of {cut(', '.join(spaces))}, and a profiler measures one space into one table: name another --out "
        f"for {space}, or replace the table of {cut(', '.join(spaces))} with --overwrite"
    )


def _check_options(path: Path, settings: Mapping[str, Any]) -> None:
    """InputError where a journal was begun with another --dtype or --timing, or of other models.

    Its settings call them otherwise. All that follows from them, such as the visits and their rules, differs too, and
    was never typed.
    """
    before = Journal.read(path).settings
    for flag, option in (("--dtype", _dtype), ("--timing", _timing)):
        was, now = option(before), option(settings)
        if was != now:
            raise InputError(
                f"{path} was begun with {flag} {cut(was)}, this one has {flag} {now}: continue with {flag} "
                f"{cut(was)}, or start again with --overwrite in place of --resume"
            )
    refuse_other_form(path, settings)


def _dtype(settings: Mapping[str, Any]) -> str:
    return str(settings.get("model_dtype") or settings.get("dtype") or "fp32")


def _timing(settings: Mapping[str, Any]) -> str:
    return "in-place" if settings.get("carriers") else "warm"
