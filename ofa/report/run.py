"""From runs to a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ofa.cli.console import spelled
from ofa.errors import InputError
from ofa.optional_packages import require
from ofa.priced import NetworkInNoSpace, named_networks
from ofa.report.config import ReportConfig
from ofa.report.inputs.commands import evaluate_command, search_command, train_command
from ofa.report.inputs.curves import TrainingRun, read_training
from ofa.report.inputs.evaluated import EvaluationRun, read_evaluation
from ofa.report.inputs.files import SEARCHED, RunFile, RunFiles, find_files, with_checks
from ofa.report.inputs.frontiers import read_frontier
from ofa.report.inputs.histories import DeviceHistory, read_histories
from ofa.report.inputs.references import ReferenceRun, read_references
from ofa.report.inputs.searched import SearchRun, read_search
from ofa.report.inputs.validated import ValidationRun, read_validation
from ofa.report.inputs.values import plain
from ofa.report.page import MadeBy, Page
from ofa.report.parts.devices import DeviceFindings, devices_of
from ofa.report.sections.device import answer_of, device_section
from ofa.report.sections.evaluation import evaluation_section
from ofa.report.sections.history import history_section
from ofa.report.sections.references import references_section
from ofa.report.sections.section import Section, listed
from ofa.report.sections.table import table_section, validation_rows
from ofa.report.sections.training import training_section
from ofa.runs.files import replace_file
from ofa.tables import LatencyTable

BEGINS = b"<!doctype html"  # of a page, in small letters


@dataclass(frozen=True, eq=False)
class Report:
    """path: of the file that was written; page: what it shows, what it was made of, and what was left out"""

    path: Path
    page: Page


@dataclass(frozen=True, eq=False)
class _Given:
    """What the runs say."""

    searches: list[SearchRun]
    evaluations: list[EvaluationRun]
    trainings: list[TrainingRun]
    validations: list[ValidationRun]
    references: list[ReferenceRun]
    histories: list[DeviceHistory]
    tables: dict[Path, LatencyTable]
    lines: dict[tuple[Path, str], tuple[tuple[float, float], ...]]

    def add(self, file: RunFile) -> None:
        """InputError where the file is not as its command writes it."""
        name = plain(file.path.name)
        match file.kind:
            case "search" | "verify":
                self.searches.append(read_search(file))
            case "evaluate":
                self.evaluations.append(read_evaluation(file))
            case "curves":
                self.trainings.append(read_training(file))
            case "validate":
                self.validations.append(read_validation(file))
            case "baselines":
                self.references.append(read_references(file))
            case "history":
                self.histories.extend(read_histories(file))
            case "table":
                self.tables[file.path] = LatencyTable.load(file.path)
            case "frontier":
                self.lines[file.path.parent, name.removesuffix(SEARCHED)] = read_frontier(file.path)


def write_report(config: ReportConfig, command: str = "") -> Report:
    """Writes one HTML file that shows the runs.

    command: as typed, for the page
    InputError names a file that is no run's, or is damaged, before anything is written.
    """
    for package in ("jinja2", "vl_convert"):
        require(package, "a report")
    check_replaceable(config.out)
    page = page_of(config, command)
    html = page.html()
    replace_file(config.out, lambda temporary: temporary.write_text(html, encoding="utf-8", newline="\n"))
    return Report(config.out, page)


def check_replaceable(path: Path) -> None:
    """InputError where a file stands there that is no page: it may be a run that is shown, or the user's own."""
    if path.is_file():
        with path.open("rb") as file:
            begins = file.read(len(BEGINS))
        if begins and begins.lower() != BEGINS:
            raise InputError(f"--out {path} is there and is no HTML page: name another file, or move that one away")


def page_of(config: ReportConfig, command: str = "") -> Page:
    """What a report shows, before it is drawn; InputError as `write_report`."""
    networks = named_networks(config.networks)
    given, files = _read(find_files(config.runs))
    devices = _devices(given)
    used = [table for findings in devices if (table := findings.table) is not None]
    tables = dict.fromkeys(table.path for table in (*used, *given.tables.values()) if table.path is not None)
    if (more := with_checks(files, tables)) != files:
        given, files = _read(more)
        devices = _devices(given)
    if networks and not devices and not given.tables:
        names = listed([str(file.path) for file in files.read])
        raise InputError(f"--networks: no table is in {names} to price them: name a search's result, or a table")
    sections = tuple(_sections(given, devices, networks))
    if not sections:
        names = listed([str(file.path) for file in files.read])
        raise InputError(f"{names}: no network is in there to show: name the result.json, or the folder, of its search")
    return Page(
        title=plain(config.title or _title(given, devices)),
        when=datetime.now(UTC),
        answers=[answer_of(findings) for findings in devices],
        sections=sections,
        commands=[*_commands(given, devices), MadeBy("this page", command or _spelled(config))],
        files=files,
    )


def _devices(given: _Given) -> list[DeviceFindings]:
    searches = [*given.searches, *(run.found for run in given.references)]
    return devices_of(searches, given.lines, [*given.tables.values()], given.evaluations)


def _read(files: RunFiles) -> tuple[_Given, RunFiles]:
    """What the files say, and those of them that say anything: a damaged one in a folder is left out."""
    given = _Given([], [], [], [], [], [], {}, {})
    damaged: dict[Path, str] = {}
    for file in files.read:
        try:
            given.add(file)
        except InputError as error:
            if file.named:
                raise
            damaged[file.path] = plain(error)
    return given, files.without(damaged)


def _sections(given: _Given, devices: Sequence[DeviceFindings], networks: Sequence[NetworkInNoSpace]) -> list[Section]:
    """Devices first; then tables that no search of these used, accuracies, trainings."""
    sections = []
    shown: list[ValidationRun] = []
    for number, findings in enumerate(devices, 1):
        references = [
            network
            for run in given.references
            if (run.table, run.device) == (findings.name, findings.device)
            for network in run.networks
        ]
        validated = _validations(given, devices, findings.name, findings.device, findings.table)
        shown += validated
        charts = validation_rows(validated, f"validation-device-{number}")
        sections.append(device_section(findings, number, references, charts, networks))
    searched = {(findings.name, findings.device) for findings in devices}
    alone = _alone(given, devices)
    for number, (name, table) in enumerate(alone, 1):
        validated = _validations(given, devices, name, table.device, table)
        shown += validated
        charts = validation_rows(validated, f"validation-table-{number}")
        sections.append(table_section(name, table, number, charts, networks))
    others = [run for run in given.validations if run not in shown]
    for number, run in enumerate(others, 1):
        rows = validation_rows([run], f"validation-{number}")
        title = f"Table against whole networks: {run.device or run.table}"
        sections.append(Section(f"validation-{number}", title, title, f"table {run.table}", charts=rows))
    apart = [run for run in given.references if (run.table, run.device) not in searched]
    sections += [references_section(run, number) for number, run in enumerate(apart, 1)]
    sections += [history_section(history, number) for number, history in enumerate(given.histories, 1)]
    sections += [evaluation_section(run, number) for number, run in enumerate(given.evaluations, 1)]
    sections += [training_section(run, number) for number, run in enumerate(given.trainings, 1)]
    return sections


def _alone(given: _Given, devices: Sequence[DeviceFindings]) -> list[tuple[str, LatencyTable]]:
    """Tables of no search that is shown, by name: another of the same name may be of one."""
    searched = {(findings.name, findings.device, findings.facts.get("when")) for findings in devices}
    used = {id(findings.table) for findings in devices}
    named = [(_name_of(path), table) for path, table in given.tables.items() if id(table) not in used]
    return [(name, table) for name, table in named if (name, table.device, table.header.get("when")) not in searched]


def _name_of(path: Path) -> str:
    return plain(path.name).removesuffix(".csv")


def _validations(
    given: _Given, devices: Sequence[DeviceFindings], name: str, device: str, table: LatencyTable | None
) -> list[ValidationRun]:
    """Those of a table: by its name, device and runtime; what lies beside another table of that name is of that one."""
    found = [run for run in given.validations if (run.table, run.device) == (name, device)]
    if table is None:
        return found
    tables = (*given.tables.values(), *(findings.table for findings in devices))
    paths = {other.path for other in tables if other is not None and other.path is not None} - {table.path}
    beside_others = {path.with_suffix(".validation.json").resolve() for path in paths}
    return [run for run in found if run.runtime == table.header["runtime"] and run.path.resolve() not in beside_others]


def _title(given: _Given, devices: Sequence[DeviceFindings]) -> str:
    if devices:
        names = list(dict.fromkeys(findings.device for findings in devices))
        return f"Image networks for {names[0] if len(names) == 1 else f'{len(names)} devices'}"
    if given.tables:
        return f"Latencies of {listed(list(dict.fromkeys(table.device for table in given.tables.values())))}"
    if given.validations:
        return f"Latencies of {listed(list(dict.fromkeys(run.device for run in given.validations)))}"
    if given.histories:
        return f"Histories of {listed(list(dict.fromkeys(history.device for history in given.histories)))}"
    return "Accuracies of networks" if given.evaluations else "Trainings of networks"


def _commands(given: _Given, devices: Sequence[DeviceFindings]) -> list[MadeBy]:
    """In the order of the work: tables, their checks, searches, measurements of networks, trainings, accuracies."""
    found: list[MadeBy] = []
    headers: list[tuple[str, Mapping[str, str]]] = [(findings.name, findings.facts) for findings in devices]
    headers += [(_name_of(path), table.header) for path, table in given.tables.items()]
    commands = [(name, header.get("command", header.get("source", ""))) for name, header in headers]
    for name, command in dict.fromkeys(commands):
        if command.startswith("python -m "):
            found.append(MadeBy(f"table {name}", command))
    found += [MadeBy(f"check of table {run.table}", run.command) for run in given.validations]
    found += [MadeBy(f"published networks on {run.device}", run.command) for run in given.references]
    found += [MadeBy(plain(run.path), train_command(run)) for run in given.trainings]
    found += [MadeBy(plain(run.path), search_command(run)) for run in given.searches]
    found += [MadeBy(plain(run.path), evaluate_command(run)) for run in given.evaluations]
    return [made for made in found if made.text]


def _spelled(config: ReportConfig) -> str:
    title = ("--title", config.title) if config.title else ()
    networks = ("--networks", *config.networks) if config.networks else ()
    return spelled("ofa.report", *config.runs, *networks, "--out", config.out, *title)
