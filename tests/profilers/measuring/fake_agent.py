"""An agent of a few lines that does what a test wants, and a measurement driven with it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ofa.blocks import all_blocks
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.measuring.conversation import local_agent
from profilers.measuring.drive import Driver
from profilers.measuring.events import Event
from profilers.measuring.judge import Outcome
from profilers.measuring.ledger import Ledger
from profilers.measuring.plan import VisitPlan, make_plan
from profilers.measuring.run import carry_out

BLOCKS = [(block,) for block in all_blocks(get_space("mbv3-w1.0"), [160])[:8]]

# An agent of a few lines: `behave(number, name)` may return samples or do worse
FAKE = """
import json, os, sys, time
manifest = json.load(open(sys.argv[1]))
folder = os.path.dirname(sys.argv[1])
def say(**fields): print(json.dumps(fields), flush=True)
def memory(word):
    # whether the word was said before, by any agent of this test
    path = os.path.join(folder, "memory"); text = open(path).read() if os.path.exists(path) else ""
    open(path, "a").write(word + " "); return word in text.split()
%s
say(type="hello", protocol=PROTOCOL, agent="fake", runtime="fake 1.0", device={"cpu_model": "fake"})
say(type="heartbeat")
for number, name in enumerate(manifest["visits"]):
    say(type="visit", visit=number, id=name)
    samples = behave(number, name)
    say(type="result", visit=number, id=name, samples_ns=samples, cpu_ns=cpu(number), calls_per_sample=1, newer=1)
say(type="done")
"""

SAY_RESULT = "say(type='result', visit=number, id=name, %s)"

WELL = "PROTOCOL = 1\ndef cpu(number): return None\ndef behave(number, name): return [1000, 1001, 1002]\n"


def results_in(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "result"]


def run(
    folder: Path,
    behaviour: str,
    plan: VisitPlan | None = None,
    timeout_s: float = 20,
    progress: Callable[[int, int], None] = lambda *_: None,
    tries: int = 1,
    through: Callable[[Iterator[Event]], Iterator[Event]] = lambda events: events,
) -> Outcome:
    agent = folder / "agent.py"
    agent.write_text(FAKE % (WELL + behaviour))
    plan = plan or make_plan(BLOCKS, rounds=2, reference_every=3, seed=0)
    path = folder / "journal.jsonl"
    journal = Journal.resume(path, {}) if path.exists() else Journal.create(path, {})
    files = {name: f"{name}.onnx" for name in plan.models}
    try:
        return carry_out(
            Driver(
                Ledger(plan, journal),
                files,
                {},
                lambda manifest: through(local_agent([sys.executable, str(agent)], folder, manifest, timeout_s)),
                progress=progress,
                tries=tries,
            )
        )
    finally:
        journal.close()


def stop_after(visits: int) -> Callable[[int, int], None]:
    """A progress callback that ends the measurement as Ctrl-C would."""

    def progress(made: int, _: int) -> None:
        if made >= visits:
            raise KeyboardInterrupt

    return progress
