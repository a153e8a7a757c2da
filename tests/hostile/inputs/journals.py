"""What runs keep: journals and run.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.runs.journal import Journal

from ..edits import GONE, Edit, at, edited, line, put, without
from ..format import Format
from ..sound import SPACE, picture

J = "run.journal.jsonl"


@cache
def _plan() -> Any:
    from profilers.measuring.plan import make_plan

    return make_plan([(block,) for block in all_blocks(SPACE, [64])[:10]], rounds=2, seed=0)


def make_journal(folder: Path) -> None:
    from profilers.measuring.events import Hello, Result
    from profilers.measuring.ledger import Ledger

    ledger = Ledger(_plan(), Journal.create(folder / "run.journal.jsonl", {"seed": 0}))
    ledger.greet(Hello("a", "r 1", {"cpu_model": "Z80"}))
    for visit in _plan().visits[:7]:
        ledger.credit(visit, Result(0, visit.model, [1000 + visit.number] * 20, None, 1))
    ledger.journal.close()


def read_journal(path: Path) -> None:
    from profilers.measuring.ledger import Ledger

    ledger = Ledger(_plan(), Journal.read(path))
    assert all(result["samples_ns"] for result in ledger.results.values())
    before = len(Journal.read(path).records)
    journal = Journal.resume(path, ledger.journal.settings)
    journal.append({"kind": "failed", "id": "b00001", "message": "m"})
    journal.close()
    assert len(Journal.read(path).records) == before + 1


# ---- loops, and energies by a battery

LOOP, ENERGY = "run.sustained-2m.journal.jsonl", "phone.energy.journal.jsonl"
ORDER = [(0, 1), (0, 0), (1, 0), (1, 1)]


def _loop_plan() -> Any:
    from profilers.looping.minutes import LoopPlan

    return LoopPlan(2, None, minute_s=0.24)


def make_loop_journal(folder: Path) -> None:
    from profilers.looping.loop import NETWORK, open_loop
    from profilers.looping.minutes import BEHIND
    from profilers.measuring.events import Hello, Result

    journal, _ = open_loop(folder / LOOP, {"seed": 0}, _loop_plan(), resume=False)
    journal.append({"kind": "begin", "when": "2026-11-26T22:00:00+00:00"})
    journal.append({"kind": "hello", **Hello("android", "litert 1", {"soc": "Z80"}).record()})
    for i in range(_loop_plan().windows):
        watched = {
            "loop_ns": 20_000_000 * i, "timed_ns": 20_000_000, "late": 0, "throttling": ["clock limit lowered"],
            "clock_mhz_after": 1800.0, "clock_limit_mhz": 1800.0, "temperature_c_after": 40.0,
        }  # fmt: skip
        window = Result(i, NETWORK, [1_000_000] * 20, [999_000] * 20, 1, watched).record()
        journal.append({**window, BEHIND: 0.0, "kind": "window"})
    journal.close()


def read_loop_journal(path: Path) -> None:
    """As `profilers.verify --sustained --resume` goes on with it."""
    from profilers.looping.loop import open_loop
    from profilers.looping.loop_report import minute_in_words, to_json
    from profilers.looping.minutes import sustained_of

    journal, loop = open_loop(path, {"seed": 0}, _loop_plan(), resume=True)
    journal.close()
    if loop is not None:
        found = sustained_of(loop.windows, _loop_plan())
        said = json.dumps(to_json(found, loop, _loop_plan(), 0.0, 1.0), allow_nan=False)
        assert "rests_on" in said and "".join(minute_in_words(m, _loop_plan()) for m in found.minutes).isprintable()


def make_energy_journal(folder: Path) -> None:
    journal = Journal.create(folder / ENERGY, {"seed": 0})
    for number, network in ORDER:
        halves: dict[str, Any] = {"idle": [], "busy": []}
        for half, readings in halves.items():
            for i in range(12):
                readings.append({
                    "runs": 1 if half == "idle" else 50 * (network + 1), "seconds": 2.5, "ended_s": 2.5 * (i + 1),
                    "battery_current": -300_000 - 500_000 * (half == "busy") - i, "battery_voltage": 4012,
                    "battery_counter": 2967000, "battery_status": "Discharging", "battery_source": None, "plugged": 0,
                    "temperature_c_after": 40.0, "clock_mhz_after": None,
                })  # fmt: skip
        journal.append({"kind": "turn", "round": number, "network": network, **halves})
    journal.close()


def read_energy_journal(path: Path) -> None:
    """As `profilers.energy --resume` goes on with it."""
    from math import isfinite

    from profilers.energies.energy_model import energies_of
    from profilers.energies.measured_energy import Halves, made_turns, measured_in

    journal = Journal.resume(path, {"seed": 0})
    journal.close()
    made = made_turns(journal, ORDER, Halves.of(30))
    assert set(made) <= set(ORDER)
    if len(made) < len(ORDER):
        return  # the others would be measured
    found = measured_in(journal, list(made.values()), 2)
    try:
        energies = energies_of(found.turns)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    assert found.units.words(found.negative).isprintable()
    assert all(isfinite(of.energy_mj) and isfinite(of.error_mj) and of.energy_mj > 0 for of in energies)


SETTINGS = {
    "data": {"file": "x", "sha256": "00" * 32},
    "seed": 0,
    "stages": [{"name": "a", "epochs": 2}],
    "dropout": None,
}


def make_run(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps(SETTINGS))


def read_run(path: Path) -> None:
    """As a training looks at what it goes on with."""
    from ofa.reading.structured import read_json
    from ofa.runs.settings import Difference

    if different := Difference.between(read_json(path), SETTINGS):
        raise InputError(f"{path} was begun {different.words('this run')}: {different.way_out('start again')}")


FORMATS: Mapping[str, Format] = {
    "journal": Format("run.journal.jsonl", make_journal, read_journal),
    "loop-journal": Format(LOOP, make_loop_journal, read_loop_journal),
    "energy-journal": Format(ENERGY, make_energy_journal, read_energy_journal),
    "run": Format("run.json", make_run, read_run),
}


def reading(half: str, number: int, /, **changes: Any) -> Edit:
    """The first turn of an energy journal with another reading."""

    def change(content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        turn = json.loads(lines[1])
        turn[half][number] = {k: v for k, v in {**turn[half][number], **changes}.items() if v is not GONE}
        return b"".join([lines[0], json.dumps(turn).encode() + b"\n", *lines[2:]])

    return partial(edited, ENERGY, change)


REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "journal": {
        "empty": put(J, b""),
        "blank": put(J, b"\n\n\n"),
        "png": put(J, picture()),
        "first-cut": partial(edited, J, lambda content: b"{" + content),
        "first-deep": partial(edited, J, lambda content: b"[" * 100_000 + b"\n" + content),
        "version-9": line(J, 0, journal_version=9),
        "version-list": line(J, 0, journal_version=[3]),
        "settings-list": line(J, 0, settings=[1]),
        "kind": line(J, 0, kind=["settings"]),
        "hello-kinds": line(J, 1, device=5),
        "facts": line(J, 1, device={"cpu_model": {"a": 1}}),
        "pass-text": line(J, 2, **{"pass": "0"}),
        "pass-huge": line(J, 2, **{"pass": 10**39}),
        "number-list": line(J, 2, number=[0]),
        "number-true": line(J, 2, number=True),
        "id-list": line(J, 2, id=["b00000"]),
        "samples-text": line(J, 2, samples_ns="1000"),
        "samples-huge": line(J, 2, samples_ns=[10**39]),
        "order-number": partial(edited, J, lambda content: content + b'{"kind": "pass", "number": 1, "order": 5}\n'),
        "order-list": partial(edited, J, lambda content: content + b'{"kind": "pass", "number": 1, "order": [[1]]}\n'),
    },
    "loop-journal": {
        "of-another-command": put(LOOP, json.dumps({"kind": "settings", "journal_version": 3, "settings": {}}) + "\n"),
        "version-9": line(LOOP, 0, journal_version=9),
        "when-escape": line(LOOP, 1, when="\x1b[2J"),
        "when-number": line(LOOP, 1, when=5),
        "when-gone": line(LOOP, 1, when=GONE),
        "hello-kinds": line(LOOP, 2, device=5),
        "hello-visit": line(LOOP, 2, type="visit"),
        "samples-text": line(LOOP, 9, samples_ns="1000"),
        "samples-empty": line(LOOP, 9, samples_ns=[]),
        "no-loop": line(LOOP, 9, loop_ns=GONE),
        "late-list": line(LOOP, 9, late=[0]),
        "behind-text": line(LOOP, 9, behind_s="0"),
        "behind-huge": line(LOOP, 9, behind_s=1e300),
        "throttling": line(LOOP, 9, throttling="a"),
    },
    "energy-journal": {
        "of-another-command": put(
            ENERGY, json.dumps({"kind": "settings", "journal_version": 3, "settings": {}}) + "\n"
        ),
        "round-true": line(ENERGY, 1, round=True),
        "round-gone": line(ENERGY, 1, round=GONE),
        "network-list": line(ENERGY, 1, network=[1]),
        "network-beyond": line(ENERGY, 1, network=7),
        "no-half": line(ENERGY, 1, idle=GONE),
        "half-object": line(ENERGY, 1, busy={"0": 1}),
        "half-short": line(ENERGY, 1, busy=[]),
        "half-null": line(ENERGY, 1, busy=[None] * 12),
        "runs-text": reading("busy", 5, runs="50"),
        "runs-none": reading("busy", 5, runs=0),
        "seconds-gone": reading("busy", 5, seconds=GONE),
        "seconds-tiny": reading("busy", 5, seconds=1e-300),
        "ended-before": reading("busy", 5, ended_s=1.0),
        "current-text": reading("idle", 5, battery_current="-300"),
        "current-huge": reading("idle", 5, battery_current=-(10**17)),
        "current-gone": reading("idle", 5, battery_current=GONE),
        "sign": reading("idle", 5, battery_current=300_000),
        "voltage-list": reading("idle", 5, battery_voltage=[4012]),
        "voltage-nought": reading("idle", 5, battery_voltage=0),
        "status-number": reading("idle", 5, battery_status=3),
        "status-escape": reading("idle", 5, battery_status="\x1b[2J"),
        "charged": reading("idle", 5, plugged=1),
        "source-other": reading("idle", 5, battery_source="\x1b[2J"),
        "source-mixed": reading("idle", 5, battery_source="Android's battery service"),
    },
    "run": {
        "gone": without("run.json"),
        "seed-text": at("run.json", "seed", value="0" * 3000),
        "seed-deep": at("run.json", "seed", value=[[0] * 1000] * 20),
        "file-long": at("run.json", "data", value={"file": "x\x1b" * 2000, "sha256": [1] * 900}),
        "file-number": at("run.json", "data", value={"file": 5, "sha256": 6}),
        "stages": at("run.json", "stages", value={"0": 1}),
        "more": at("run.json", "k\x1b" * 900, value=1),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "journal": {
        "line-damaged": partial(edited, J, lambda content: content.replace(b'"samples_ns"', b'"samples_ns', 1)),
        "line-cr": partial(edited, J, lambda content: content.replace(b'"type"', b'"ty\rpe"', 1)),
        "line-binary": partial(edited, J, lambda content: content + b"\xff\xfe\0\n"),
        "last-cut": partial(edited, J, lambda content: content[:-30]),
        "record-list": partial(edited, J, lambda content: content + b"[1]\n5\nnull\n"),
        "record-unknown": partial(edited, J, lambda content: content + b'{"kind": ["x"]}\n{}\n'),
        "result-twice": partial(edited, J, lambda content: content + content.splitlines(keepends=True)[-1]),
    },
    "loop-journal": {
        "line-damaged": partial(edited, LOOP, lambda content: content.replace(b'"samples_ns"', b'"samples_ns', 1)),
        "last-cut": partial(edited, LOOP, lambda content: content[:-30]),
        "window-twice": partial(edited, LOOP, lambda content: content + content.splitlines(keepends=True)[-1]),
        "turned": partial(edited, LOOP, lambda content: b"".join(content.splitlines(keepends=True)[::-1])),
        "begun-again": partial(edited, LOOP, lambda content: content + content.splitlines(keepends=True)[1]),
        "of-a-profile": partial(
            edited, LOOP, lambda content: content.replace(b'"kind": "window"', b'"kind": "result"')
        ),
    },
    "energy-journal": {
        "line-damaged": partial(edited, ENERGY, lambda content: content.replace(b'"runs"', b'"runs', 1)),
        "last-cut": partial(edited, ENERGY, lambda content: content[:-30]),
        "turn-twice": partial(edited, ENERGY, lambda content: content + content.splitlines(keepends=True)[-1]),
        "of-a-profile": partial(
            edited, ENERGY, lambda content: content.replace(b'"kind": "turn"', b'"kind": "result"')
        ),
        "kind-list": line(ENERGY, 1, kind=["turn"]),
    },
}

JSON = {
    "run": "run.json",
}
