"""`regenerate` over a lab: which device each table of the list needs, and what its host must be given for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ofa.errors import InputError, one_line
from ofa.reading.numbers import cut
from ofa.tables import LatencyTable
from profilers import regenerate
from profilers.android import AndroidConfig
from profilers.changes.baseline import folder_of
from profilers.changes.tables_config import TableEntry, load_config
from profilers.devices.identity import DEVICE_ID
from profilers.gpu import GpuConfig
from profilers.lab.devices import Device
from profilers.lab.plan import TABLES_FOLDER, Job, LabEntry, matching
from profilers.lab.words import asked_cores, words_for
from profilers.linux import LinuxConfig

_KIND = {"cpu": "cpu", "gpu": "gpu", "android": "phone", "linux": "board"}


def regenerate_jobs(entry: LabEntry, devices: Mapping[str, tuple[str, Device]]) -> tuple[list[Job], list[str]]:
    """A job for each table whose device is in the lab; and of each other table, why it has none.

    InputError for a list that is wrong.
    """
    assert entry.tables is not None
    jobs, skipped = [], []
    fit = matching(entry, devices)
    for table in load_config(entry.tables, regenerate.PROFILERS):
        device, why = _device_of(table, entry.tables.with_name(table.file), fit)
        if device is None:
            skipped.append(f"{entry.name}: {table.file} is skipped: {why}")
            continue
        words = words_for(entry.work, device, entry.args, {"{file}": table.file, "{device}": device.id})
        cores = asked_cores(table.args)
        jobs.append(Job(entry.name, Path(table.file).stem, device.id, words, device.model, *cores))
    return jobs, skipped


def _device_of(table: TableEntry, committed: Path, devices: list[Device]) -> tuple[Device | None, str]:
    """The device that a table is of, or why it is not to be had."""
    kind = _KIND[table.profiler]
    there = [device for device in devices if device.kind == kind]
    options = table.options
    if isinstance(options, AndroidConfig | LinuxConfig):
        address = options.only_serial if isinstance(options, AndroidConfig) else options.host
        if address is None:
            return None, "its args name no --serial, which a lab needs"
        there = [device for device in there if device.address == address]
        return (there[0], "") if there else (None, f"no {kind} of the lab has the address that its args name")
    if isinstance(options, GpuConfig):
        there = [device for device in there if device.address == options.device]
    if not committed.is_file():
        one = len(there) == 1
        return (there[0], "") if one else (None, f"it is new, and {len(there)} devices could be meant: narrow it by on")
    header = LatencyTable.load(committed).header
    if known := header.get(DEVICE_ID):  # another one of its model differs from it, which is no change
        there = [device for device in there if device.id == known]
        renamed = "; a machine that was renamed has a new id: write that into the table" if kind == "cpu" else ""
        return (there[0], "") if there else (None, f"its device, {one_line(cut(known))}, is not in the lab{renamed}")
    soc = header.get("soc")
    there = [device for device in there if device.soc == soc]
    return (there[0], "") if there else (None, f"no {kind} of the lab is {soc or 'named by its header (soc)'}")


def given_files(entry: LabEntry, file: str) -> dict[str, bytes]:
    """{name in a job's folder: content} that a table is regenerated with: the list, the table, its earlier runs."""
    assert entry.tables is not None
    committed = entry.tables.with_name(file)
    runs = folder_of(committed)
    found = {f"{TABLES_FOLDER}/tables.toml": entry.tables}
    for path in (committed, committed.with_suffix(".journal.jsonl")):
        if path.is_file():
            found[f"{TABLES_FOLDER}/{path.name}"] = path
    for path in sorted(runs.glob("*.csv")) if runs.is_dir() else ():
        found[f"{TABLES_FOLDER}/{path.relative_to(committed.parent).as_posix()}"] = path
    try:
        return {name: path.read_bytes() for name, path in found.items()}
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None
