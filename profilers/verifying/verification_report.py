"""What a verification leaves: verified.json, a plot, and lines for the user."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ofa import __version__
from ofa.checkpoints.shipped import is_shipped
from ofa.cli.console import spelled
from ofa.reading.amounts import amount, of_batch
from ofa.runs.settings import identity_of
from ofa.search.report import beyond_in_words
from ofa.tables import LatencyTable
from profilers.devices.phone.words import shareable
from profilers.profiling.table_header import device_model
from profilers.verifying.choice import Contender
from profilers.verifying.searched import Searched
from profilers.verifying.verification import Round, Verification, Verified, measured_dict
from profilers.verifying.verify_config import VerifyConfig
from profilers.whole_networks.plot import write_plot

# of the search's result: what whoever takes a result reads of it, beside its results
_KEPT = ("space", "num_classes", "images", "predictor", "scale", "method")


def to_json(
    verification: Verification, searched: Searched, config: VerifyConfig, command: str, when: datetime
) -> dict[str, Any]:
    """As a search's result: a network a limit that is kept, its latency as measured; and how that was found.

    A limit that no network keeps is not among the results.
    """
    name, v = searched.search.name, verification
    return {
        **{key: searched.content[key] for key in _KEPT if key in searched.content},
        "tables": {name: searched.content["tables"][name]},
        "results": [verified.to_dict() for verified in v.kept],
        "not_kept": [{"limit_ms": verified.limit_ms, "found": verified.found_dict()} for verified in v.not_kept],
        "verification": {
            "of": str(config.result),
            "command": shareable(command),
            "when": when.isoformat(timespec="seconds"),
            "tool": f"ofa-latency {__version__}",
            "latency_ms": "of the results: the median of the even visits; the odd ones chose the network",
            "device": device_model(v.hello.device),
            "machine": dict(v.hello.device),
            "runtime": v.hello.runtime,
            "same_machine": v.same_machine,
            "rounds": [_round(made) for made in v.rounds],
            "networks": [_network(contender) for contender in v.contenders],
        },
        "settings": identity_of(config, version=__version__),
    }


def _round(made: Round) -> dict[str, Any]:
    return {
        "networks": made.networks,
        "failed": made.failed,
        "doubtful": made.doubtful,
        "machine_pct": made.machine_pct,
        "again": [
            {"limit_ms": limit, "why": where.why, "within_ms": round(where.within_ms, 6)}
            for limit, where in made.again.items()
        ],
    }


def _network(contender: Contender) -> dict[str, Any]:
    network = contender.network
    return {
        **measured_dict(contender),
        "visits_ms": list(contender.times.visits_ms),
        "predictor_top1": round(network.predictor_top1, 4),
        "subnet": network.subnet.to_dict(),
    }


def say_round(made: Round, batch: int, console: Console) -> None:
    """What a round measured, how the machine was, and where the search goes on."""
    failed = f", {made.failed} could not be" if made.failed else ""
    failed += f", {made.doubtful} of them while the machine was busy or drifted" if made.doubtful else ""
    console.print(
        f"round {made.number}: {made.networks} networks measured{failed}; controls: {made.machine_pct:+} % "
        "against the table",
        soft_wrap=True,
    )
    for limit, where in made.again.items():
        console.print(
            f"  {amount(limit, 'ms', batch)}: {where.why}; searching again about {where.within_ms:.4g} ms",
            soft_wrap=True,
        )


def print_verification(console: Console, name: str, table: LatencyTable, verification: Verification) -> None:
    """Each limit: what the search had found, what keeps it, and what both take."""
    v, batch = verification, table.batch
    of = "" if batch == 1 else f"\nfor {batch} images"
    shown = Table(title=f"{name}: {table.device}, measured whole", title_justify="left")
    headings = ("limit ms", "found: sum", "measured", "kept by: sum", "measured", "top-1 %", "change", "px", "depths")
    for heading in headings:
        shown.add_column(heading + (of if heading in ("limit ms", "measured") else ""), justify="right", no_wrap=True)
    for verified in v.limits:
        shown.add_row(f"{verified.limit_ms:g}", *_found(verified), *_winner(verified))
    console.print(shown)
    console.print("  measured: the median of the visits that did not choose", soft_wrap=True)
    ratios = np.array([c.times.latency_ms / c.predicted_ms for c in v.contenders])
    if len(ratios):
        console.print(
            f"  {len(ratios)} networks took {ratios.min():.3f} to {ratios.max():.3f} of their sums, the median "
            f"{np.median(ratios):.3f}"
            if len(ratios) > 1
            else f"  1 network took {ratios[0]:.3f} of its sum",
            soft_wrap=True,
        )
    sums = [(c.predicted_ms, c.network.subnet.resolution) for c in v.contenders]
    if beyond := beyond_in_words(table.known_range, sums):
        console.print(f"  {beyond}; here they were measured", soft_wrap=True)
    if doubtful := sum(c.doubtful for c in v.contenders):
        console.print(
            f"  ? most visits of {doubtful} networks were beside drift, or the machine was busy: when it is quieter, "
            "continue with --resume",
            soft_wrap=True,
        )
    for verified in v.limits:
        if verified.choice.passed_over:
            console.print(
                f"  {verified.limit_ms:g} ms: {verified.choice.passed_over} more accurate ones kept it in the odd "
                "visits, and not in the even ones",
                soft_wrap=True,
            )


def _found(verified: Verified) -> tuple[str, str]:
    found = verified.found
    if found is None:
        return "-", "-"
    return f"{found.predicted_ms:.4g}", _measured(found)


def _winner(verified: Verified) -> tuple[str, ...]:
    winner = verified.choice.winner
    if winner is None:
        return ("none", "-", "-", "-", "-", "-")
    network, found = winner.network, verified.found
    change = "-" if found is None else f"{network.predicted_top1 - found.network.predicted_top1:+.2f}"
    return (
        f"{winner.predicted_ms:.4g}",
        _measured(winner),
        f"{network.predicted_top1:.2f}",
        change if verified.changed else "same",
        str(network.subnet.resolution),
        "-".join(map(str, network.subnet.depths)),
    )


def _measured(contender: Contender) -> str:
    even = contender.times.even_ms
    return f"{contender.times.latency_ms if even is None else even:.4g}{'?' if contender.doubtful else ''}"


def draw(path: Path, table: LatencyTable, verification: Verification) -> bool:
    """Writes the plot; False where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    v = verification
    winners = {id(verified.choice.winner) for verified in v.kept}
    groups = {
        "measured": [c for c in v.contenders if id(c) not in winners],
        "keeps its limit, as measured": [c for c in v.contenders if id(c) in winners],
    }
    points = {
        name: (np.array([c.times.latency_ms for c in group]), np.array([c.predicted_ms for c in group]))
        for name, group in groups.items()
    }
    title = f"{table.device}, {table.header['runtime']}"
    write_plot(path, title, points, f"ms{of_batch(table.batch)}", [verified.limit_ms for verified in v.limits])
    return True


def ending(verification: Verification, config: VerifyConfig, console: Console, space_name: str) -> int:
    """Says what is not as it should be, and what comes next; the exit code."""
    v = verification
    fastest = min((c.times.latency_ms for c in v.contenders), default=None)
    for verified in v.not_kept:
        took = "none could be measured" if fastest is None else f"the fastest took {fastest:.4g} ms"
        console.print(
            f"{verified.limit_ms:g} ms: no network that was measured keeps it ({took}): allow more rounds by --again, "
            "or a higher limit",
            soft_wrap=True,
        )
    if not v.same_machine:
        console.print(
            "blocks or networks of the table take more than 5 % longer or shorter than when it was made: something "
            "slows the machine now, or did then. The latencies are of now; close other programs and verify again",
            soft_wrap=True,
        )
    if v.kept:
        limit = v.kept[-1].limit_ms
        none_needed = config.checkpoint is None and is_shipped(space_name)
        weights = () if none_needed else ("--checkpoint", config.checkpoint or "W")
        words = (*weights, "--subnet", config.file, "--limit", f"{limit:g}", "--format", "onnx")
        console.print(f"next: {spelled('ofa.export', *words)}", soft_wrap=True)
    return 0 if v.same_machine and not v.not_kept else 1
