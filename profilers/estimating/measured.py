"""The suggested networks measured on a phone or board: some ten of them, in about two minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from ofa import __version__
from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.runs.journal import Journal, finish
from ofa.space import SearchSpace, Subnet
from ofa.space.description import space_identity
from ofa.tables.network_times import write_networks
from profilers.devices.by_options import open_device
from profilers.estimating.transfer_config import TransferConfig
from profilers.measuring.judge import Outcome
from profilers.measuring.models import refuse_other_form
from profilers.measuring.pace import PHONE_PACE
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.statistics import summarise
from profilers.measuring.target import Target
from profilers.profiling.command_words import continued
from profilers.profiling.console import measure_shown
from profilers.profiling.table_header import device_header, device_model, device_name

# of each network: as many as a profile has, and of slow networks few runs, so that ten of 0.2 s take two minutes
ROUNDS = PHONE_PACE.whole_rounds
RULES = {**PHONE_PACE.whole, "min_runs": 6}


@dataclass(frozen=True)
class MeasuredSuggestion:
    """file: of networks and their latencies; failed: {network's name: why it has none}; doubtful: visits"""

    file: Path
    failed: Mapping[str, str]
    doubtful: int


def networks_file(table: Path) -> Path:
    """Where the networks are written that an estimated table rests on."""
    return table.with_suffix(".networks.csv")


def measure_suggested(
    config: TransferConfig, space: SearchSpace, networks: Mapping[str, Subnet], command: str, console: Console
) -> MeasuredSuggestion:
    """Measures networks of a space on the config's device, and writes them beside its table. command: as typed

    InputError where the device is not to be had, or none could be measured.
    """
    with open_device(config, config.batch or 1, config.timeout, console.out) as target:
        return measure_on(target, config, space, networks, command, console, resume=config.resume)


def plan_of(space: SearchSpace, networks: Mapping[str, Subnet], seed: int) -> VisitPlan:
    """The visits of networks, each ROUNDS times."""
    return make_plan([blocks_of(space, subnet) for subnet in networks.values()], ROUNDS, seed)


def measure_on(
    target: Target,
    config: TransferConfig,
    space: SearchSpace,
    networks: Mapping[str, Subnet],
    command: str,
    console: Console,
    *,
    resume: bool,
) -> MeasuredSuggestion:
    """Measures networks on a device that is there. resume: whether to go on with a journal of before"""
    file = networks_file(config.out)
    plan = plan_of(space, networks, config.seed)
    journal = _journal(config, file, space, networks, target, resume)
    outcome = measure_shown(plan, target, RULES, config.seed, journal, console, continued(command))
    if not outcome.results:
        raise InputError(f"no network could be measured: {next(iter(outcome.failed.values()), 'nothing was said')}")
    names = dict(zip(plan.models, networks, strict=True))
    _write(config, file, space, networks, names, plan, outcome, target)
    finish(journal.path)
    return MeasuredSuggestion(file, {names[model]: why for model, why in outcome.failed.items()}, outcome.doubtful)


def _journal(
    config: TransferConfig,
    file: Path,
    space: SearchSpace,
    networks: Mapping[str, Subnet],
    target: Target,
    resume: bool,
) -> Journal:
    settings = {
        **space_identity(space),
        "networks": [str(subnet) for subnet in networks.values()],
        "batch": target.batch,
        "rounds": ROUNDS,
        "seed": config.seed,
        "rules": RULES,
        **target.manifest,
    }
    path = file.with_suffix(".journal.jsonl")
    if resume:
        refuse_other_form(path, settings)
    return Journal.begin(path, settings, resume=resume, overwrite=config.overwrite)


def _write(
    config: TransferConfig,
    file: Path,
    space: SearchSpace,
    networks: Mapping[str, Subnet],
    names: Mapping[str, str],
    plan: VisitPlan,
    outcome: Outcome,
    target: Target,
) -> None:
    device = outcome.greeted.device
    header = {
        "device": config.device or device_name(device),
        "soc": device_model(device),
        "runtime": outcome.greeted.runtime,
        **target.header,
        "batch": str(target.batch),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "tool": f"ofa-latency {__version__}",
        "source": f"measured by profilers.transfer, each in {ROUNDS} visits",
    }
    header |= {key: text for key, text in device_header(device).items() if key not in header}
    there = [model for model in plan.models if model in outcome.results]
    rows = [(space.name, networks[names[model]]) for model in there]
    latencies = [f"{summarise(outcome.results[model]).latency_ms:.6f}" for model in there]
    write_networks(file, header, rows, {"latency_ms": latencies}, [names[model] for model in there], [space])
