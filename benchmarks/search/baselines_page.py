"""Writes the tables of docs/baselines.md from what `python -m profilers.baselines` measured.

    python benchmarks/search/baselines_page.py          # all latency_tables/*.baselines.json into the page
    python benchmarks/search/baselines_page.py --check  # ends with 1 where the page or a figure is not as it should be

NAME.baselines.json is the run that is shown, NAME.again.baselines.json the same with another seed. What found networks
gain is computed here a second way, from the latencies and accuracies in the file, and compared with what the file says.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE, TABLES = ROOT / "docs" / "baselines.md", ROOT / "latency_tables"
BEGIN, END = "<!-- tables: python benchmarks/search/baselines_page.py -->", "<!-- end of tables -->"
RECIPES = ("paper", "timm")
Content = dict[str, Any]


def unbeaten(found: Sequence[Content]) -> list[tuple[float, float]]:
    """(ms, per cent) of the found networks that no other beats, from fast to slow."""
    points = [(one["latency_ms"], one["predicted_top1"]) for one in found]
    return sorted(p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points))


def gains(ms: float, top1: float, found: Sequence[Content]) -> tuple[float | None, float | None]:
    """How many times as fast, and how many points better, found networks are; None where none is as good."""
    points = unbeaten(found)
    faster = better = None
    for (fast, low), (slow, high) in itertools.pairwise(points):
        if low <= top1 <= high:
            faster = ms / (fast * (slow / fast) ** ((top1 - low) / (high - low)))
        if fast <= ms <= slow:
            better = low + (high - low) * math.log(ms / fast) / math.log(slow / fast) - top1
    if top1 < points[0][1] and ms >= points[0][0]:
        faster = ms / points[0][0]
    if ms > points[-1][0] and top1 <= points[-1][1]:
        better = points[-1][1] - top1
    return faster, better


def wrong(name: str, content: Content) -> list[str]:
    """Gains that the file says and its own latencies do not."""
    found = []
    for one in content["baselines"]:
        for recipe, top1 in one["published"].items():
            stated = one["found_networks"][recipe]
            pairs = zip(
                ("times_faster", "points_better"), gains(one["latency_ms"], top1, content["found"]), strict=True
            )
            for key, value in pairs:
                if (value is None) != (stated[key] is None) or (value is not None and abs(value - stated[key]) > 2e-3):
                    found.append(f"{name}: {one['name']}, {recipe}: {key} is {stated[key]}, recomputed {value}")
    return found


def gain_cells(one: Content, recipe: str) -> list[str]:
    if recipe not in one["published"]:
        return ["", "", ""]
    gain = one["found_networks"][recipe]
    faster, better = gain["times_faster"], gain["points_better"]
    return [
        f"{one['published'][recipe]:.1f}",
        "-" if faster is None else f"{'> ' * gain['at_least_faster']}{faster:.2f}",
        "-" if better is None else f"{'> ' * gain['at_least_better']}{better:+.1f}",
    ]


def row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def shown_ms(ms: float) -> str:
    """Three digits."""
    return f"{ms:#.3g}".rstrip(".")


def both(one: Content, other: Content | None) -> str:
    """A latency in both runs."""
    again = "" if other is None else f", {shown_ms(other['latency_ms'])}"
    return f"{shown_ms(one['latency_ms'])}{again}{' ?' if one['doubtful'] else ''}"


def tables(content: Content, again: Content | None) -> str:
    """What was measured of one device, as Markdown."""
    others = {one["name"]: one for one in again["baselines"]} if again else {}
    heading = ["network", "M MACs", "ms", "paper %", "faster", "better", "timm %", "faster", "better"]
    command = re.sub(r" --out [^ ]+", "", content["command"])
    twice = "; again with another seed" if again else ""
    lines = [
        f"### {content['device']}: {content['runtime']}",
        "",
        f"`{command}` ({content['when'][:10]}{twice})",
        "",
        row(heading),
        row(["---", *["---:"] * (len(heading) - 1)]),
    ]
    for one in content["baselines"]:
        cells = [cell for recipe in RECIPES for cell in gain_cells(one, recipe)]
        lines.append(row([one["name"], f"{one['macs_millions']:.0f}", both(one, others.get(one["name"])), *cells]))
    heading = [f"found networks ({content['space']}), px", "M MACs", "ms", "sum of blocks", "predicted %", "sd"]
    lines += ["", row(heading), row(["---:"] * len(heading))]
    same = {json.dumps(one["subnet"]): one for one in again["found"]} if again else {}
    for one in content["found"]:
        sd = one["predicted_top1_std"]
        lines.append(
            row(
                [
                    one["subnet"]["resolution"],
                    f"{one['macs_millions']:.0f}",
                    both(one, same.get(json.dumps(one["subnet"]))),
                    shown_ms(one["predicted_ms"]),
                    f"{one['predicted_top1']:.1f}",
                    "-" if sd is None else f"{sd:.1f}",
                ]
            )
        )
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    contents = {path.name: json.loads(path.read_text()) for path in sorted(TABLES.glob("*.baselines.json"))}
    faults = [fault for name, content in contents.items() for fault in wrong(name, content)]
    shown = [
        tables(content, contents.get(name.replace(".baselines.json", ".again.baselines.json")))
        for name, content in contents.items()
        if not name.endswith(".again.baselines.json")
    ]
    before = PAGE.read_text()
    start, end = before.index(BEGIN) + len(BEGIN), before.index(END)
    after = f"{before[:start]}\n\n" + "\n\n".join(shown) + f"\n\n{before[end:]}"
    if "--check" not in words:
        PAGE.write_text(after)
    elif after != before:
        faults.append(f"{PAGE.name} is not what was measured: run this without --check")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
