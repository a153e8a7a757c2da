"""lab.toml: which command runs on which devices; and the jobs that follow, as a list that a resumed run shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ofa.cli.command import did_you_mean
from ofa.errors import InputError
from ofa.reading.numbers import short
from ofa.reading.structured import content_of, parse_toml
from profilers.lab.devices import KINDS, Device
from profilers.lab.orders import safe_name
from profilers.lab.words import WORKS, LabWork, asked_cores, words_for

REGENERATE = "regenerate"
TABLES_FOLDER = "given"
_PATTERNS = ("kind", "model", "soc", "id", "address", "host")
_GROUPS = ("model", "soc", "host")
_LONGEST_NAME = 60
# what a run writes beside its jobs' folders
JOURNAL, REPORT = "lab.journal.jsonl", "report.md"
_WINDOWS = set('<>:"/\\|?*')


@dataclass(frozen=True)
class LabEntry:
    """One [[job]] of lab.toml.

    on: {a device's fact: a pattern, such as "Pixel*"}; one_of_each: a fact of which each value gets one device
    at_least: fewer devices are a failure; after: the entry whose tables are taken; files: sent along
    tables: of regenerate, its list; retries: how often a failed job is gone on with
    """

    name: str
    command: str
    args: tuple[str, ...] = ()
    on: Mapping[str, str] = field(default_factory=dict)
    one_of_each: str = ""
    at_least: int = 1
    after: str = ""
    files: tuple[Path, ...] = ()
    tables: Path | None = None
    retries: int = 1

    @property
    def work(self) -> LabWork:
        return WORKS[self.command]


@dataclass(frozen=True)
class Job:
    """What runs once. entry: its name; subject: the device, or the table, that it is for; device: where it runs

    threads, cpus: of the host's own CPU, as its profiler is asked for them; 0 and () where it is not
    """

    entry: str
    subject: str
    device: str
    words: tuple[str, ...]
    model: str = ""
    threads: int = 0
    cpus: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.entry}/{self.subject}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Job:
        return cls(**{**fields, "words": tuple(fields["words"]), "cpus": tuple(fields["cpus"])})


@dataclass(frozen=True)
class LabPlan:
    """jobs: in the order of the file; missing: {entry: what it lacks}; skipped: what is not run, and why"""

    jobs: tuple[Job, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def recorded(
    path: Path, records: Sequence[Mapping[str, Any]], entries: Mapping[str, LabEntry] | None = None
) -> tuple[Mapping[str, Any] | None, dict[str, Any]]:
    """What a run's journal tells: its plan, None where it has none yet, and {job: the record of its end}.

    entries: those of lab.toml, by name, where the jobs are to be run by them
    InputError, with the file, where it is damaged.
    """
    plan = next((record for record in records if record.get("kind") == "plan"), None)
    ended = [record for record in records if record.get("kind") == "ended"]
    try:
        whole = plan is None or _is_plan(plan, entries)
    except (AttributeError, KeyError, TypeError):
        whole = False
    texts = ("job", "state", "host", "why")
    if not whole or not all(_are_texts(record, texts) and _has_seconds(record) for record in ended):
        raise InputError(f"{path} is damaged: choose another --out, or begin again with --overwrite")
    return plan, {record["job"]: record for record in ended}


def only_of(job: Job) -> str:
    """The table that a job of regenerate measures again. ValueError where its words name none."""
    return job.words[job.words.index("--only", 0, -1) + 1]


def _is_of(job: Job, entry: LabEntry | None) -> bool:
    try:
        return entry is not None and (entry.command != REGENERATE or bool(only_of(job)))
    except ValueError:
        return False


def _is_plan(plan: Mapping[str, Any], entries: Mapping[str, LabEntry] | None) -> bool:
    jobs = [*map(Job.from_dict, plan["jobs"])]
    for job in jobs:
        facts = (job.entry, job.subject, job.device, job.model, *job.words)
        if not all(isinstance(fact, str) for fact in facts) or not safe_name(job.name):
            return False
        if not all(type(number) is int for number in (job.threads, *job.cpus)):
            return False
        if entries is not None and not _is_of(job, entries.get(job.entry)):
            return False
    if len({job.name for job in jobs}) < len(jobs):
        return False
    lines = [*plan["missing"].items(), *((line, "") for line in plan["skipped"])]
    return isinstance(plan["run"], str) and all(isinstance(part, str) for line in lines for part in line)


def _are_texts(record: Mapping[str, Any], keys: Sequence[str]) -> bool:
    return all(isinstance(record.get(key), str) for key in keys)


def _has_seconds(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("seconds"), int | float) and isinstance(record.get("code"), int | None)


def read_entries(path: Path) -> list[LabEntry]:
    """The entries of a lab.toml; InputError names the one that is wrong, and its field."""
    content = parse_toml(content_of(path), path)
    jobs = content.pop("job", None)
    if content or not isinstance(jobs, list) or not jobs:
        raise InputError(f"{path}: expected [[job]] entries and nothing else")
    entries: list[LabEntry] = []
    for number, fields in enumerate(jobs, start=1):
        where = f"{path}: job {number}"
        if not isinstance(fields, dict):
            raise InputError(f"{where} is {short(fields)}, expected [[job]] and its fields")
        entry = _entry(where, fields, path.parent, [before.name for before in entries])
        if any(before.name.casefold() == entry.name.casefold() for before in entries):
            raise InputError(f"{where}: name is {short(entry.name)}, which an earlier job has")
        entries.append(entry)
    return entries


def _entry(where: str, fields: Mapping[str, Any], folder: Path, before: Sequence[str]) -> LabEntry:
    known = ("name", "command", "args", "on", "one_of_each", "at_least", "after", "files", "tables", "retries")
    for key in fields:
        if key not in known:
            raise InputError(f"{where}: {short(key)} is no field of a job{did_you_mean(key, known)}")
    command = _text(where, fields, "command")
    if command not in WORKS:
        raise InputError(f"{where}: command is {short(command)}, expected one of {', '.join(WORKS)}")
    name = _text(where, fields, "name", command)
    if not _is_name(name):
        raise InputError(f"{where}: name is {short(name)}, expected a short name that a folder can have")
    if name.casefold() in (JOURNAL, REPORT):
        raise InputError(f"{where}: name is {short(name)}, which is a file of the run: choose another")
    work = WORKS[command]
    args = _texts(where, fields, "args")
    for word in args:
        if word.partition("=")[0] in work.given:
            raise InputError(f"{where}: args has {word.partition('=')[0]}, which the lab gives")
    after = _text(where, fields, "after", "")
    if after and after not in before:
        raise InputError(f"{where}: after is {short(after)}, expected the name of an earlier job")
    if work.table != bool(after):
        need = (
            "takes a table: name the job that makes it, by after" if work.table else "takes no table: leave after out"
        )
        raise InputError(f"{where}: {command} {need}")
    if (command == REGENERATE) != ("tables" in fields):
        need = "needs tables, its list of tables" if command == REGENERATE else "has no tables"
        raise InputError(f"{where}: {command} {need}")
    tables = folder / _text(where, fields, "tables") if "tables" in fields else None
    files = tuple(folder / file for file in _texts(where, fields, "files"))
    for file in (*files, *([tables] if tables else [])):
        if not file.is_file():
            raise InputError(f"{where}: there is no file {file}")
    names = [file.name for file in files]
    if twice := next((file for file in names if names.count(file) > 1), None):
        raise InputError(f"{where}: files has two that are called {short(twice)}")
    on = _patterns(where, fields.get("on", {}), work)
    group = _text(where, fields, "one_of_each", "")
    if group and group not in _GROUPS:
        raise InputError(f"{where}: one_of_each is {short(group)}, expected one of {', '.join(_GROUPS)}")
    at_least, retries = _count(where, fields, "at_least", 1), _count(where, fields, "retries", 1)
    return LabEntry(name, command, args, on, group, at_least, after, files, tables, retries)


def _text(where: str, fields: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} is {short(value)}, expected a text")
    return value


def _texts(where: str, fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
        raise InputError(f"{where}: {key} is {short(value)}, expected a list of texts")
    return tuple(value)


def _count(where: str, fields: Mapping[str, Any], key: str, default: int) -> int:
    value = fields.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100_000:
        raise InputError(f"{where}: {key} is {short(value)}, expected a whole number, 0 or more")
    return value


def _patterns(where: str, value: Any, work: LabWork) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InputError(f'{where}: on is {short(value)}, expected facts of devices, such as {{ model = "Pixel*" }}')
    for key, pattern in value.items():
        if key not in _PATTERNS:
            raise InputError(f"{where}: on has {short(key)}, expected one of {', '.join(_PATTERNS)}")
        if not isinstance(pattern, str):
            raise InputError(f"{where}: {key} is {short(pattern)}, expected a text")
        if key == "kind" and not any(fnmatchcase(kind, pattern) for kind in work.modules):
            raise InputError(f"{where}: kind is {short(pattern)}, the command is for {', '.join(work.modules)}")
    return dict(value)


def _is_name(name: str) -> bool:
    plain = name.isprintable() and not set(name) & _WINDOWS and name.strip(" .") == name
    return bool(name) and plain and len(name) <= _LONGEST_NAME


def matching(entry: LabEntry, devices: Mapping[str, tuple[str, Device]]) -> list[Device]:
    """The devices that an entry's jobs run on, by id; of one_of_each the first by id. devices: {id: (host, itself)}"""
    found = []
    for name in sorted(devices, key=lambda name: (KINDS.index(devices[name][1].kind), name)):
        host, device = devices[name]
        facts = {"host": host, **{key: getattr(device, key) for key in _PATTERNS if key != "host"}}
        fits = all(fnmatchcase(facts[key].casefold(), pattern.casefold()) for key, pattern in entry.on.items())
        if fits and device.kind in entry.work.modules:
            found.append((facts[entry.one_of_each] if entry.one_of_each else name, device))
    firsts = dict(reversed(found))
    return [device for group, device in found if firsts[group] is device]


def make_plan(entries: Sequence[LabEntry], devices: Mapping[str, tuple[str, Device]]) -> LabPlan:
    """The jobs of all entries but those of regenerate, whose list of tables says which devices they need."""
    jobs: dict[str, list[Job]] = {}
    missing = {}
    for entry in entries:
        if entry.command == REGENERATE:
            continue
        found = matching(entry, devices)
        if len(found) < entry.at_least:
            # of a table's next step, what is missing is said once, where it begins
            words = f"devices that fit {_shown(entry)}: {len(found)}, expected at least {entry.at_least}"
            missing[entry.name] = words
        jobs[entry.name] = _jobs(entry, found, jobs.get(entry.after, []))
    return LabPlan(tuple(job for each in jobs.values() for job in each), missing)


def _jobs(entry: LabEntry, found: Sequence[Device], before: Sequence[Job]) -> list[Job]:
    """A job a device; after tables, on those that were measured, or, of work that needs no device, a job a table."""
    if entry.after and "host" in entry.work.modules:
        pairs = [(job.subject, found[n % len(found)]) for n, job in enumerate(before)] if found else []
    elif entry.after:
        measured = {job.subject for job in before}
        pairs = [(device.id, device) for device in found if device.id in measured]
    else:
        pairs = [(device.id, device) for device in found]
    made = []
    for number, (subject, device) in enumerate(pairs, start=1):
        stands = {"{device}": subject, "{shard}": f"{number}/{len(pairs)}"}
        words = words_for(entry.work, device, entry.args, stands)
        made.append(Job(entry.name, subject, device.id, words, device.model, *asked_cores(words)))
    return made


def _shown(entry: LabEntry) -> str:
    return ", ".join(f"{key} {short(pattern)}" for key, pattern in entry.on.items()) or "the command"
