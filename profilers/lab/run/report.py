"""What a run came to, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from profilers.lab.plan import REGENERATE, LabPlan
from profilers.lab.run.driver import Task
from profilers.lab.run.together import Together


def markdown(tasks: Sequence[Task], plan: LabPlan, accepted: Sequence[str], models: Sequence[Together]) -> str:
    """The report: every job, what is missing, and the reports of regenerated tables below."""
    rows = [
        f"| {_plain(task.job.name)} | {_plain(task.job.model)} | {_plain(task.host)} | {_ended(task)} | "
        f"{task.seconds / 60:.1f} | {_plain(task.why)} |"
        for task in tasks
    ]
    missing = [f"- {_plain(entry)}: {_plain(why)}" for entry, why in plan.missing.items()]
    skipped = [f"- {_plain(line)}" for line in plan.skipped]
    taken = [f"- {_plain(line)}" for line in accepted]
    lines = [
        "# The lab's run",
        "",
        "| job | device | host | ended | minutes | why |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    compared = [f"- {_plain(each.model)}: {_plain(line)}" for each in models for line in each.lines]
    for title, part in (
        ("Devices of one model", compared),
        ("Missing", missing),
        ("Skipped", skipped),
        ("Taken over", taken),
    ):
        lines += ["", f"## {title}", "", *part] if part else []
    for task in tasks:
        lines += _regenerated(task)
    return "\n".join(lines) + "\n"


def _regenerated(task: Task) -> list[str]:
    """The report of one table, a heading lower."""
    path = task.folder / "new" / "report.md"
    if task.entry.command != REGENERATE or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return ["", f"## {_plain(task.job.name)}", "", *(f"#{line}" if line.startswith("#") else line for line in text)]


def _ended(task: Task) -> str:
    return "failed" if task.state == "failed" else f"with {task.code}"


def _plain(text: str) -> str:
    """Text of others in one cell that is no Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in " ".join(text.split()))
