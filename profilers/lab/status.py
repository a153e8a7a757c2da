"""Hosts, devices, jobs and what a run left, in words."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ofa.errors import InputError, one_line
from ofa.runs.journal import Journal
from profilers.lab.devices import Host, announced, package
from profilers.lab.logs import last_error, progress_at
from profilers.lab.orders import LOG
from profilers.lab.plan import JOURNAL, recorded
from profilers.profiling.console import Progressed

if TYPE_CHECKING:
    from profilers.lab.host.jobs import Doing
    from profilers.lab.run.driver import Task


def lab_lines(hosts: Mapping[str, Host], doing: Mapping[str, Sequence[Doing]]) -> list[str]:
    """Every host and its devices, what each does, and what may not be used."""
    lines = []
    for name in sorted(hosts):
        host = hosts[name]
        builds = ", ".join(f"{runtime} {build}" for runtime, build in sorted(host.runtimes.items()))
        lines.append(f"{name}: {host.package}; {builds or 'no runtime'}; {host.cores}")
        now = {job.device: job for job in doing.get(name, ())}
        lines += [f"  {device.id:20} {_model(device.model, device.soc):40} {_does(device.trouble, now.get(device.id))}"
                  for device in host.devices]  # fmt: skip
    refused = announced(hosts, package()).refused
    lines += [f"not used: {line}" for line in refused]
    return [one_line(line) for line in lines] or ["no host is announced: python -m profilers.lab announce, on each"]


def _model(model: str, soc: str) -> str:
    return model if model == soc or not soc else f"{model} ({soc})"


def _does(trouble: str, job: Doing | None) -> str:
    if job is None:
        return f"cannot be used: {trouble}" if trouble else "free"
    return f"{job.job} of {job.by}, for {_time(time.time() - job.began)}{_left(job.progress)}"


def _left(progress: Progressed | None) -> str:
    if progress is None:
        return ""
    return f", {progress.made} of {progress.total} visits, about {_time(progress.left_s)} left"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def run_lines(out: Path) -> tuple[list[str], int]:
    """A run's jobs by its folder, and 2 if some failed, else 0. InputError where there is no run."""
    path = out / JOURNAL
    if not path.is_file():
        raise InputError(f"{out} holds no run of the lab: {path.name} is not there")
    plan, ended = recorded(path, Journal.read(path).records)
    if plan is None:
        return [f"{out}: nothing was begun"], 0
    lines, failed = [], False
    for job in plan["jobs"]:
        name = f"{job['entry']}/{job['subject']}"
        record, folder = ended.get(name), out / name
        table = _table_in(folder, job["subject"])
        if record is None:
            progress = progress_at(folder / LOG)
            error = last_error(folder / LOG) if progress is None else ""
            how = f"not ended{_left(progress)}{f': {error}' if error else ''}"
        elif record["state"] == "failed":
            how, failed = f"failed: {record['why']}", True
        else:
            how = f"ended with {record['code']} on {record['host']} after {_time(record['seconds'])}"
        lines.append(one_line(f"{name} ({job['model']}): {how}{f'; {table}' if table else ''}"))
    lines += [one_line(f"{entry}: {why}") for entry, why in plan["missing"].items()]
    return lines, 2 if failed or plan["missing"] else 0


def _table_in(folder: Path, subject: str) -> Path | None:
    """What a job left: a table of its subject, measured anew or not, or another file of figures."""
    named = [folder / f"{subject}.csv", folder / "new" / f"{subject}.csv", *sorted(folder.glob("*.csv"))]
    return next((file for file in named if file.is_file()), None)


def summary(tasks: Sequence[Task]) -> str:
    """How far a run is, on one line."""
    counts = {state: sum(task.state == state for task in tasks) for state in ("done", "failed", "runs", "waits")}
    words = {"done": "done", "failed": "failed", "runs": "running", "waits": "waiting"}
    parts = [f"{count} {words[state]}" for state, count in counts.items() if count]
    left = [p.left_s for task in tasks if task.state == "runs" and (p := progress_at(task.folder / LOG)) is not None]
    return f"{len(tasks)} jobs: {', '.join(parts)}{f'; those that run: about {_time(max(left))} left' if left else ''}"
