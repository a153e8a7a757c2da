"""`python -m ofa.report`: what runs found, as one page to open, send and print."""

from __future__ import annotations

from collections.abc import Sequence

from ofa.cli.command import Command
from ofa.cli.console import make_console
from ofa.cli.run import run
from ofa.report.config import ReportConfig
from ofa.report.run import write_report

COMMAND = Command("ofa.report", ReportConfig, example="note10 out/search --out report.html")


def main(argv: Sequence[str] | None = None) -> int:
    config = COMMAND.parse(argv)
    report = write_report(config)
    console = make_console()
    for left in report.page.files.left_out:
        console.print(f"left out: {left}", soft_wrap=True)
    mib = config.out.stat().st_size / 2**20
    console.print(f"wrote {report.path} ({mib:.1f} MiB): open it in a browser; it needs no network", soft_wrap=True)
    return 0


if __name__ == "__main__":
    run(main)
