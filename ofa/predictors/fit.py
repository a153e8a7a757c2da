"""`python -m ofa.predictors.fit`: an accuracy predictor from measured accuracies, or from another predictor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ofa.errors import InputError
from ofa.images.facts import ImageFacts
from ofa.predictors.accuracy import AccuracyPredictor
from ofa.predictors.fitting import fit, fit_to_teacher
from ofa.predictors.training import Recipe
from ofa.predictors.training_data import read_image_facts, read_training_csv
from ofa.runs.files import sha256
from ofa.space import get_space

# Predictions have no noise to smooth away, and there are many: wider networks, less weight decay.
TEACHER_RECIPE = Recipe(members=6, hidden=(256,), weight_decay=1.0, epochs=80, batch_size=256)


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        prog="python -m ofa.predictors.fit",
        description="Fit an accuracy predictor on measured accuracies (--data), test it on rows it never saw, and "
        "write PATH.safetensors with PATH.json. Takes about half a minute for 4,000 rows; Ctrl-C leaves no file.",
        epilog="example: python -m ofa.predictors.fit --data accuracies.csv --space mbv3-w1.0 "
        "--out out/my-predictor.safetensors",
    )
    source = parsed.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="CSV",
        help="one or several files of ofa.predictors.collect, or with columns resolution, depths, kernel_sizes, "
        "expand_ratios (lists separated by spaces, 0 for skipped layers), top1 in per cent; width_mults for "
        "resnet50d. Repeated sub-networks are averaged",
    )
    source.add_argument("--teacher", type=Path, metavar="P", help="a predictor, MIT's .pth or ours, to imitate")
    add = parsed.add_argument
    add("--space", required=True, metavar="S", help="search space: mbv3-w1.0, proxyless-w1.3, resnet50d ...")
    add("--out", type=Path, metavar="PATH", help="default out/predictors/SPACE.safetensors")
    add("--samples", type=int, default=16000, metavar="N", help="predictions to read from the teacher (default 16000)")
    add("--source", default="", metavar="TEXT", help="where the accuracies come from, kept in the header")
    add("--note", default="", metavar="TEXT", help="a caveat to show wherever the predictor is described")
    defaults = {
        field.name: (getattr(Recipe(), field.name), getattr(TEACHER_RECIPE, field.name)) for field in fields(Recipe)
    }
    for name, text in (
        ("members", "networks in the ensemble"),
        ("epochs", "passes over the data"),
        ("batch_size", "rows a step"),
        ("learning_rate", "peak of the one-cycle schedule"),
        ("weight_decay", "of AdamW"),
        ("seed", "the same seed gives the same files, bit for bit"),
    ):
        data, teacher = defaults[name]
        shown = f"{data}" if data == teacher else f"{data}; with --teacher {teacher}"
        add(f"--{name.replace('_', '-')}", type=type(data), metavar="N", help=f"{text} (default {shown})")
    add("--hidden", type=int, nargs="+", metavar="N", help="hidden widths (default 64; with --teacher 256)")
    return parsed


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    chosen = {name: value for name in vars(Recipe()) if (value := getattr(args, name)) is not None}
    if "hidden" in chosen:
        chosen["hidden"] = tuple(chosen["hidden"])
    recipe = replace(TEACHER_RECIPE if args.teacher else Recipe(), **chosen)
    out = args.out or Path("out/predictors") / f"{args.space}.safetensors"
    if out.suffix != ".safetensors":
        raise InputError(f"--out is {out}, expected a name that ends in .safetensors")
    sources: list[Path] = args.data or [args.teacher]
    for source in sources:
        if not source.is_file():
            raise InputError(f"no such file: {source}")
    facts: dict[str, Any] = {
        "file": ", ".join(source.name for source in sources),
        "sha256": ", ".join(sha256(source) for source in sources),
    }
    if args.source:
        facts["source"] = args.source

    console = Console(width=None if Console().is_terminal else 120)
    if args.data:
        data = read_training_csv(args.data, args.space)
        console.print(
            f"{len(data.top1):,} sub-networks of {args.space} at {', '.join(map(str, data.space.resolutions))} px"
        )
        if data.merged:
            console.print(f"{data.merged:,} more rows repeat one of them: averaged")
        predictor = _with_progress(console, lambda step: fit(data, recipe, step))
        report = predictor.header["report"]
        facts["kind"] = "measured accuracies"
        images = read_image_facts(args.data)
        figures = report["test"]["all"]
        description = (
            f"{recipe.members} networks fitted on {report['rows']['train'] + report['rows']['calibration']:,} measured "
            f"accuracies; on {report['rows']['test']:,} others RMSE {figures['rmse']:.2f} %, Kendall tau "
            f"{figures['kendall_tau']:.2f}"
        )
        _print_report(console, report)
    else:
        space = get_space(args.space)
        teacher = AccuracyPredictor.load(args.teacher, space)
        space = get_space(args.space, resolutions=teacher.resolutions)
        teacher = AccuracyPredictor.load(args.teacher, space)
        images = ImageFacts.from_dict(teacher.header["images"], args.teacher) if "images" in teacher.header else None
        predictor = _with_progress(console, lambda step: fit_to_teacher(teacher, args.samples, recipe, step))
        report = predictor.header["report"]
        facts["kind"] = f"{args.samples} predictions of another predictor, not measured accuracies"
        random, best = report["test"]["random"]["all"], report["test"]["near_optimal"]["all"]
        description = (
            f"{recipe.members} networks fitted on {args.samples:,} predictions of {args.teacher.name} (not measured "
            f"accuracies); they differ from it by RMSE {random['rmse']:.2f} % on random sub-networks (Kendall tau "
            f"{random['kendall_tau']:.2f}), {best['rmse']:.2f} % on near-optimal ones; the interval covers that only"
        )
        _print_teacher_report(console, report)
    if images is not None:
        predictor.header["images"] = images.to_dict()
        if images.marks:
            description += f"; {'; '.join(images.marks)}"
            print(f"warning: the accuracies are {', '.join(images.marks)}", file=sys.stderr)
    if args.note:
        description += f"; {args.note}"
    predictor.header |= {"description": description, "origin": facts}
    predictor.save(out)
    console.print(f"wrote {out} and {out.with_suffix('.json').name}: {description}", highlight=False)
    console.print(
        f"next: python -m ofa.search --table TABLE.csv --space {args.space} --predictor {out} --latency MS",
        highlight=False,
    )
    return 0


def _with_progress(
    console: Console, work: Callable[[Callable[[str, float], None]], AccuracyPredictor]
) -> AccuracyPredictor:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def step(name: str, share: float) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=1.0)
            bar.update(tasks[name], completed=share)

        return work(step)


def _print_report(console: Console, report: dict[str, Any]) -> None:
    table = Table(title="Test part: never trained on, calibrated on or selected on", title_justify="left")
    for column in (
        "px",
        "rows",
        "RMSE %",
        "tau",
        "in 68 %",
        "in 95 %",
        "ridge RMSE",
        "ridge tau",
        "MACs RMSE",
        "MACs tau",
    ):
        table.add_column(column, justify="right")
    ridge, macs = report["baselines"]["ridge"], report["baselines"]["macs"]
    for r, row in report["test"].items():
        table.add_row(
            r,
            f"{row['rows']:,}",
            f"{row['rmse']:.3f}",
            f"{row['kendall_tau']:.3f}",
            f"{100 * row['coverage_68']:.0f} %",
            f"{100 * row['coverage_95']:.0f} %",
            f"{ridge[r]['rmse']:.3f}",
            f"{ridge[r]['kendall_tau']:.3f}",
            f"{macs[r]['rmse']:.3f}",
            f"{macs[r]['kendall_tau']:.3f}",
        )
    console.print(table)
    top = report["test"]["all"]
    console.print(
        f"tenth predicted best: bias {top['top_decile_bias']:+.3f} %, RMSE {top['top_decile_rmse']:.3f} %; largest "
        f"sub-network: {report['largest_subnet']['predicted_top1']:.2f} %, above "
        f"{100 * report['largest_subnet']['share_of_test_predicted_below']:.0f} % of the test part",
        highlight=False,
    )
    for r, row in report["interpolation"].items():
        console.print(
            f"{r} px left out and interpolated: RMSE {row['rmse']:.3f} % instead of {row['rmse_if_known']:.3f} %, "
            f"bias {row['bias']:+.3f} %",
            highlight=False,
        )


def _print_teacher_report(console: Console, report: dict[str, Any]) -> None:
    table = Table(title="Against the teacher, on sub-networks it was not asked about", title_justify="left")
    for column in ("sub-networks", "px", "rows", "RMSE %", "tau", "bias of best tenth %", "in 68 %", "in 95 %"):
        table.add_column(column, justify="right")
    for kind, rows in report["test"].items():
        for r, row in rows.items():
            table.add_row(
                kind.replace("_", "-"),
                r,
                f"{row['rows']:,}",
                f"{row['rmse']:.3f}",
                f"{row['kendall_tau']:.3f}",
                f"{row['top_decile_bias']:+.3f}",
                f"{100 * row['coverage_68']:.0f} %",
                f"{100 * row['coverage_95']:.0f} %",
            )
    console.print(table)
    lost = report["search"]
    console.print(
        f"searching {lost['devices']} made-up devices with it loses {lost['mean_loss']:.3f} % on average "
        f"({lost['worst_loss']:.3f} % at worst) of what the teacher itself finds, as the teacher sees it",
        highlight=False,
    )


if __name__ == "__main__":
    from ofa.cli.run import run

    run(main)
