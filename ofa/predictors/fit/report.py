"""What a fitted predictor's report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from ofa.predictors.metrics import shown_tau

if TYPE_CHECKING:
    from rich.console import Console


def print_report(console: Console, report: dict[str, Any]) -> None:
    """Of `measured.fit_to_measured`: beside two models that any predictor should beat."""
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
            shown_tau(row["kendall_tau"]),
            f"{100 * row['coverage_68']:.0f} %",
            f"{100 * row['coverage_95']:.0f} %",
            f"{ridge[r]['rmse']:.3f}",
            shown_tau(ridge[r]["kendall_tau"]),
            f"{macs[r]['rmse']:.3f}",
            shown_tau(macs[r]["kendall_tau"]),
        )
    console.print(table)
    top = report["test"]["all"]
    console.print(
        f"tenth predicted best: bias {top['top_decile_bias']:+.3f} %, RMSE {top['top_decile_rmse']:.3f} %; largest "
        f"sub-network: {report['largest_subnet']['predicted_top1']:.2f} %, above "
        f"{100 * report['largest_subnet']['share_of_test_predicted_below']:.0f} % of the test part",
    )
    for r, row in report["interpolation"].items():
        console.print(
            f"{r} px left out and interpolated: RMSE {row['rmse']:.3f} % instead of {row['rmse_if_known']:.3f} %, "
            f"bias {row['bias']:+.3f} %",
        )


def print_teacher_report(console: Console, report: dict[str, Any]) -> None:
    """Of `distilled.fit_to_teacher`: beside the teacher."""
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
                shown_tau(row["kendall_tau"]),
                f"{row['top_decile_bias']:+.3f}",
                f"{100 * row['coverage_68']:.0f} %",
                f"{100 * row['coverage_95']:.0f} %",
            )
    console.print(table)
    lost = report["search"]
    console.print(
        f"searching {lost['devices']} made-up devices with it loses {lost['mean_loss']:.3f} % on average "
        f"({lost['worst_loss']:.3f} % at worst) of what the teacher itself finds, as the teacher sees it",
    )
