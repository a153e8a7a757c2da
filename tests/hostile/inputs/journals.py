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

from ..edits import Edit, at, edited, line, put, without
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
        raise InputError(f"{path} was begun {different.words('this run')}: {different.way_out('start anew')}")


FORMATS: Mapping[str, Format] = {
    "journal": Format("run.journal.jsonl", make_journal, read_journal),
    "run": Format("run.json", make_run, read_run),
}

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
}

JSON = {
    "run": "run.json",
}
