"""What the visits beside a drift of the reference are worth: one validation's journal, judged by both rules.

    python benchmarks/validations/drift_rule.py my-cpu.csv               # its my-cpu.validation.journal.jsonl beside it
    python benchmarks/validations/drift_rule.py my-cpu.csv --passes 1    # of the first pass alone

Nothing is measured. By the former rule a visit beside a reference visit that was more than 5 % off counts only for want
of better; by today's (`profilers/measuring/judge.py`) it counts where its neighbours tell how slow the machine was.
Prints, for each rule: the visits that count of a network (median), how far the same networks again are off (odd visits
against even ones), and the corrected sums against the networks that did not fit: MAPE, bias and within 5 %, in per
cent, and Kendall's tau.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ofa.runs.journal import Journal
from ofa.tables import LatencyTable
from profilers.measuring import judge
from profilers.measuring.ledger import Ledger
from profilers.measuring.pace import CPU_PACE
from profilers.measuring.plan import make_plan
from profilers.whole_networks.choosing import Chosen, choose, space_of
from profilers.whole_networks.measured import measured_of
from profilers.whole_networks.validation import validation_of

NEVER = -1.0  # no slowness is so little: all visits beside a drift are doubtful, as formerly


def ledger_of(table: LatencyTable, journal: Journal, passes: int | None) -> tuple[Ledger, Chosen]:
    """What was measured, in the first so many passes, and the choice of networks."""
    settings = journal.settings
    space, resolutions = space_of(table, settings.get("space"), settings.get("num_classes"))
    chosen = choose(table, space, resolutions, settings["networks"], settings["seed"])
    visits = settings.get("visits") or CPU_PACE.whole_rounds
    if settings.get("chosen") not in (None, chosen.identity):
        raise SystemExit(f"{journal.path} is of other networks than this table's rows give now")
    plan = make_plan(chosen.chains(), visits, settings["seed"], reference_among=range(chosen.count))
    begun, kept = 1, []
    for record in journal.records:
        begun += record.get("kind") == "pass"
        if passes is not None and begun > passes:
            break
        kept.append(record)
    journal.records[:] = kept
    return Ledger(plan, journal), chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--passes", type=int, help="of the journal (default: all)")
    args = parser.parse_args()
    table = LatencyTable.load(args.table).uncorrected
    journal = Journal.read(args.table.with_suffix(".validation.journal.jsonl"))
    ledger, chosen = ledger_of(table, journal, args.passes)
    today = judge.KNOWN_SLOWNESS
    for words, limit in ("beside no drift", NEVER), ("today's rule", today):
        judge.KNOWN_SLOWNESS = limit
        outcome = judge.judge(ledger)
        good, _ = judge.good_and_doubtful(ledger)
        counted = [len(good.get(name, ())) for name in list(ledger.plan.models)[: chosen.count]]
        v = validation_of(table, chosen, measured_of(chosen, ledger.plan, outcome))
        s = v.scores
        print(
            f"{words:16} visits {np.median(counted):4.0f}, again {v.repeated.mape_pct:5.2f}; corrected "
            f"{s.mape_pct:5.2f} {s.bias_pct:+5.2f} {s.within_5_pct:4.0f} {s.kendall_tau:.4f}"
        )


if __name__ == "__main__":
    main()
