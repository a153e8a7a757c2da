"""A run of the lab from its options to its exit code."""

from __future__ import annotations

import getpass
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InputError, one_line
from ofa.optional_packages import require
from ofa.reading.structured import content_of
from ofa.runs.files import replace_file, sha256
from ofa.runs.journal import Journal
from ofa.runs.system import typed
from profilers.lab.config import RunLabConfig
from profilers.lab.devices import Announced, announced, package
from profilers.lab.plan import (
    JOURNAL,
    REGENERATE,
    REPORT,
    Job,
    LabEntry,
    LabPlan,
    make_plan,
    only_of,
    read_entries,
    recorded,
)
from profilers.lab.run.check import check_words
from profilers.lab.run.driver import FAILED, GOOD, Hosts, LabRun, Task
from profilers.lab.run.report import markdown
from profilers.lab.run.returned import Returned
from profilers.lab.run.together import compare_models
from profilers.lab.tables_of import given_files, regenerate_jobs
from profilers.profiling.console import STOPPED, ended_by_sigterm

Say = Callable[[str], object]


@dataclass(frozen=True)
class Begin:
    """What a run begins with. run: its own name, which stays when it is resumed; done: {job: its record}, of before"""

    entries: Mapping[str, LabEntry]
    plan: LabPlan
    journal: Journal
    run: str
    done: Mapping[str, Mapping[str, Any]]


def run_lab(config: RunLabConfig, hosts: Hosts, say: Say, show: Callable[[Sequence[Task]], object]) -> int:
    """Runs all jobs: 0 all ended well, 1 some with 1, 2 some failed, 130 stopped. InputError for what is wrong."""
    entries = read_entries(config.config)
    if any(entry.command in ("profile", REGENERATE) for entry in entries):
        require("scipy", "comparing tables")  # asked now: it is needed at the end
    there = announced(hosts.look(), package())
    if config.dry_run:
        for line in there.refused:
            say(line)
        return _dry_run(_planned(config.config, entries, there), there, say)
    resume = resumed(config)
    with ended_by_sigterm():
        begin = _begin(config, entries, there)
        try:
            for line in begin.plan.skipped:
                say(line)
            tasks = [_task(config.out, begin, job) for job in begin.plan.jobs]
            say(f"jobs: {len(tasks)}, on {len({task.job.device for task in tasks})} of the lab's devices")
            by = f"{_user()}@{socket.gethostname()} ({config.out})"
            run = LabRun(
                hosts, tasks, begin.journal, begin.run, by, package(),
                _files_of(config.out), say, show, 60 * config.patience,
            )  # fmt: skip
            run.to_the_end()
        except KeyboardInterrupt:
            print(f"stopped; what was measured is in {config.out}; go on with: {resume}", file=sys.stderr)
            return STOPPED
        finally:
            begin.journal.close()
    return _finish(config, begin, tasks, say, resume)


def resumed(config: RunLabConfig) -> str:
    """The command that goes on with a run."""
    words = ["--config", str(config.config), "--out", str(config.out), "--resume"]
    address = [] if config.address == "auto" else ["--address", config.address]
    return typed(["python", "-m", "profilers.lab", "run", *words, *address])


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _planned(path: Path, entries: Sequence[LabEntry], there: Announced) -> LabPlan:
    """All jobs; InputError for a command line that its command does not take."""
    plan = make_plan(entries, there.devices)
    jobs, skipped, missing = [*plan.jobs], [*plan.skipped], dict(plan.missing)
    for entry in entries:
        if entry.command == REGENERATE:
            found, words = regenerate_jobs(entry, there.devices)
            skipped += words
            jobs += found
            if len(found) < entry.at_least:
                missing[entry.name] = f"of {entry.tables}, {len(found)} tables have a device in the lab"
    checked = set[tuple[str, str]]()
    for job in jobs:
        if (job.entry, job.words[0]) not in checked:
            checked.add((job.entry, job.words[0]))
            check_words(str(path), job)
    return LabPlan(tuple(jobs), missing, tuple(skipped))


def _dry_run(plan: LabPlan, there: Announced, say: Say) -> int:
    for line in plan.skipped:
        say(line)
    for job in plan.jobs:
        host, device = there.devices[job.device]
        say(f"{job.name} on {host}, {device.model}: {typed(['python', '-m', *job.words])}")
    for entry, why in plan.missing.items():
        say(f"{entry}: {why}")
    return FAILED if plan.missing else 0


def _begin(config: RunLabConfig, entries: Sequence[LabEntry], there: Announced) -> Begin:
    """A new run's plan, or that of the run that is gone on with, which its journal holds."""
    path = config.out / JOURNAL
    settings = _settings(config.config, entries)
    named = {entry.name: entry for entry in entries}
    if config.resume and path.is_file():
        journal = Journal.begin(path, settings, resume=True, overwrite=False)
        try:
            first, ended = recorded(path, journal.records, named)
        except BaseException:
            journal.close()
            raise
        if first is not None:
            plan = LabPlan(tuple(map(Job.from_dict, first["jobs"])), first["missing"], tuple(first["skipped"]))
            return Begin(named, plan, journal, first["run"], ended)
    elif path.exists() and not config.overwrite:
        raise InputError(f"{config.out} holds an earlier run: go on with it by --resume, or --overwrite it")
    else:
        planned = _planned(config.config, entries, there)  # what is wrong is named before an older run is replaced
        folders = () if config.overwrite or path.exists() else [config.out / job.name for job in planned.jobs]
        if strange := next((folder for folder in folders if folder.is_dir() and any(folder.iterdir())), None):
            raise InputError(f"{strange} holds files of no run of the lab: choose another --out, or --overwrite it")
        journal = Journal.begin(path, settings, resume=False, overwrite=config.overwrite)
    try:
        plan, run = _planned(config.config, entries, there), uuid.uuid4().hex
        for job in plan.jobs:
            _clear(config.out / job.name)
        jobs = [job.to_dict() for job in plan.jobs]
        journal.append({"kind": "plan", "run": run, "jobs": jobs, "missing": plan.missing, "skipped": plan.skipped})
    except BaseException:
        journal.close()
        raise
    return Begin(named, plan, journal, run, {})


def _settings(config: Path, entries: Sequence[LabEntry]) -> dict[str, Any]:
    """What identifies a run: its file, and the files that it names, by content."""
    files = {str(file): sha256(file) for entry in entries for file in (*entry.files, *filter(None, [entry.tables]))}
    return {"lab": content_of(config).decode("utf-8-sig"), "files": files}


def _clear(folder: Path) -> None:
    """Takes away what an earlier run left of a job, which a new one would go on with."""
    for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else ():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _task(out: Path, begin: Begin, job: Job) -> Task:
    task = Task(job, begin.entries[job.entry], Returned(out / job.name))
    before = begin.done.get(job.name)
    if before is not None and before["state"] == "done":
        task.state, task.code, task.host = "done", before["code"], before["host"]
        task.seconds = before["seconds"]
    return task


def _files_of(out: Path) -> Callable[[Task], dict[str, bytes]]:
    def files(task: Task) -> dict[str, bytes]:
        """What a job needs of this machine's files, and the table that an earlier job made."""
        job, entry = task.job, task.entry
        found = {file.name: content_of(file) for file in entry.files}
        if entry.after:
            found[f"{job.subject}.csv"] = content_of(out / entry.after / job.subject / f"{job.subject}.csv")
        if entry.command == REGENERATE:
            found |= given_files(entry, only_of(job))
        return found

    return files


def _finish(config: RunLabConfig, begin: Begin, tasks: Sequence[Task], say: Say, resume: str) -> int:
    """Writes the report, takes tables over, compares siblings; the exit code."""
    accepted, all_taken = _accept(tasks, say) if config.accept else ([], True)
    models = compare_models(config.out, tasks, resume)
    for each in models:
        for line in each.lines:
            say(f"{each.model}: {line}")
        if each.table is not None:
            say(f"wrote {each.table}")
    text = markdown(tasks, begin.plan, accepted, models)
    report = config.out / REPORT
    replace_file(report, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))
    for entry, why in begin.plan.missing.items():
        say(f"{entry}: {why}")
    failed = [task for task in tasks if task.state == "failed"]
    for task in failed:
        say(f"{task.job.name} failed: {one_line(task.why)}")
    if failed:
        say(f"try again what failed with: {resume}")
    say(f"wrote {report}")
    if failed or begin.plan.missing or not all_taken:
        return FAILED
    to_be_seen = any(each.to_be_seen for each in models)
    return max((task.code or 0 for task in tasks), default=0) or int(to_be_seen)


def _accept(tasks: Sequence[Task], say: Say) -> tuple[list[str], bool]:
    """Has profilers.regenerate take over what the jobs measured, without measuring; what it said, a line each.

    And whether all that was measured could be looked at: a table that is not taken over with a reason counts.
    """
    lines: list[str] = []
    well = True
    for task in tasks:
        if task.entry.command != REGENERATE or task.state != "done" or task.entry.tables is None:
            continue
        file = only_of(task.job)
        if not (task.folder / "new" / file).is_file():  # its host had no such device after all: nothing was measured
            continue
        words = ["--config", str(task.entry.tables), "--only", file, "--out", str(task.folder / "new")]
        command = [sys.executable, "-m", "profilers.regenerate", *words, "--resume", "--accept"]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL
        )
        printed = done.stdout.splitlines() + (done.stderr.splitlines() if done.returncode not in GOOD else [])
        lines += [line for line in printed if line.startswith((f"{file}: ", "error: "))]
        well = well and done.returncode in GOOD
    for line in lines:
        say(line)
    return lines, well
