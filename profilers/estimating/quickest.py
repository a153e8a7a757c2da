"""`--quickest` of a profiler: ten whole networks of a phone or board, and a table that is estimated from them."""

from __future__ import annotations

from pathlib import Path

from ofa.cli.console import make_console
from ofa.space import SearchSpace, Subnet
from ofa.tables import LatencyTable, find_table
from profilers.estimating.estimate import check_replaceable
from profilers.estimating.estimate_report import say_measured, write_estimate
from profilers.estimating.measured import RULES, measure_on, networks_file, plan_of
from profilers.estimating.suggestion import check_new, suggestion
from profilers.estimating.transfer_config import TransferConfig
from profilers.measuring.target import Target
from profilers.profiling.profile_options import PlanOptions, ProfileOptions

NETWORKS = 10
# a phone, by TFLite's kernels, which phones and boards are measured with; which device it is matters little from eight
# networks on (docs/results/transfer.md)
RELATED = "note10"


def profile_quickest(options: ProfileOptions, target: Target, command: str, source: str | None = None) -> int:
    """Measures ten networks on the target, and estimates the table options.out from them; 1 if some failed.

    command: as typed, to be gone on with; source: for the table's header in place of it
    """
    config, related, console = asked(options), LatencyTable.load(find_table(RELATED)), make_console()
    space, networks = suggestion(config, related)
    measured = measure_on(target, config, space, networks, command, console, resume=options.resume)
    code = say_measured(measured, len(networks), space.name, console.out)
    write_estimate(config.estimating(measured.file), related, command if source is None else source, console.out)
    return code


def asked(options: ProfileOptions) -> TransferConfig:
    """What `profilers.transfer` would be asked for."""
    return TransferConfig(
        suggest=NETWORKS,
        from_=RELATED,
        space=(options.space,),
        resolutions=options.resolutions,
        num_classes=options.num_classes,
        device=options.name,
        batch=options.batch_size,
        seed=options.seed,
        out=options.out,
        overwrite=options.overwrite,
    )


def check_quickest(options: ProfileOptions) -> None:
    """InputError, before a device is asked for, where the options are wrong or something would be replaced unasked."""
    check_replaceable(options.out, options.overwrite, options.name)
    if not options.resume:
        check_new(networks_file(options.out), options.overwrite)
    chosen(options)


def chosen(options: PlanOptions) -> tuple[SearchSpace, dict[str, Subnet]]:
    """The space, and the networks that would be measured, by name. InputError for a space that there is not."""
    config = TransferConfig(
        suggest=NETWORKS, from_=RELATED, space=(options.space,), resolutions=options.resolutions, seed=options.seed,
        out=Path("quickest.csv"),
    )  # fmt: skip
    return suggestion(config, LatencyTable.load(find_table(RELATED)))


def in_words(options: PlanOptions, loading_s: float) -> str:
    """What would be measured, and how long that takes at most. loading_s: to load a model"""
    space, networks = chosen(options)
    visits = len(plan_of(space, networks, options.seed).visits)
    seconds = visits * (RULES["warmup_seconds"] + RULES["max_seconds"] + loading_s)
    slow_ms = 1000 * RULES["max_seconds"] / RULES["min_runs"]
    return (
        f"{len(networks)} whole networks of {space.name}: {visits} visits\n"
        f"about {seconds / 60:.1f} minutes, more where a network takes over {slow_ms:.0f} ms a run; by the rules"
    )
