"""`python -m ofa.predictors.fit`: an accuracy predictor from measured accuracies, or from another predictor."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ofa.cli.command import Command
from ofa.cli.console import make_console, progress_bar, spelled
from ofa.cli.run import run
from ofa.predictors.fit.config import FitConfig

COMMAND = Command(
    "ofa.predictors.fit",
    FitConfig,
    example="--data accuracies.csv --space mbv3-w1.0 --out out/my-predictor.safetensors",
)


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    from ofa.predictors.fit.report import print_report, print_teacher_report
    from ofa.predictors.fit.run import fit_predictor

    console = make_console()
    with progress_bar(console) as bar:
        result = fit_predictor(config, bar.show)
    if result.data is None:
        print_teacher_report(console, result.report)
    else:
        data = result.data
        pixels = ", ".join(map(str, data.known))
        console.print(f"{len(data.top1):,} sub-networks of {data.space.name} at {pixels} px")
        if data.merged:
            console.print(f"{data.merged:,} more rows repeat one of them: averaged")
        print_report(console, result.report)
    if result.images is not None and result.images.marks:
        print(f"warning: the accuracies are {', '.join(result.images.marks)}", file=sys.stderr)
    beside = result.path.with_suffix(".json").name
    console.print(f"wrote {result.path} and {beside}: {result.predictor.description}", soft_wrap=True)
    named = ("--space", config.space) if config.space else ()  # else a table says it
    given = ("--table", "TABLE.csv", *named, "--predictor", result.path, "--latency", "MS")
    console.print(f"next: {spelled('ofa.search', *given)}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    run(main)
