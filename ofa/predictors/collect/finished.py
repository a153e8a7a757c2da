"""A CSV that is where a collection is to be written: the same collection's, or another's, which is not overwritten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.errors import InputError
from ofa.predictors.prediction import DTYPES
from ofa.predictors.subnet_accuracies import stated_facts
from ofa.reading.csv_text import read_csv_text
from ofa.reading.numbers import PERCENT, Bounds, cut
from ofa.runs.settings import Difference
from ofa.space.description import DESCRIPTION, HASH

COUNT, LOSS = Bounds(0, 10**9, "items"), Bounds(0, 1e9, "nats")
WAY_OUT = "delete it, or name another --out"
NAMES = ("checkpoint", "data")  # of files, which are known by their content


def find_finished(path: Path, facts: Mapping[str, Any], numbers: Sequence[int]) -> dict[int, dict[str, Any]] | None:
    """The items {number: item} of a finished collection of these facts; None where no file is there.

    facts: what the CSV of this collection is to say of how it was made; numbers: of its sub-networks
    InputError where a file of other facts, or another file altogether, is in its place.
    """
    if not path.exists():
        return None
    other = f"{path} is there, and is no file of ofa.predictors.collect"
    try:
        text = read_csv_text(path, "a file of accuracies", header=False)
        stated = stated_facts(text.comments, path, facts)
    except InputError as error:
        raise InputError(f"{other} ({cut(error, 200)}): {WAY_OUT}") from None
    if not stated:
        raise InputError(f"{other}: {WAY_OUT}")
    stated = {"dtype": DTYPES[0], "precision": "fp32", **stated}  # of before there was a choice
    asked = {*stated, *(set(facts) - {HASH, DESCRIPTION})}  # earlier files do not tell these
    wanted = {key: value for key, value in json.loads(json.dumps(facts)).items() if key in asked and key not in NAMES}
    if different := Difference.between({key: stated.get(key) for key in wanted}, wanted):
        raise InputError(f"{path} is there, {different.words()}: {WAY_OUT}")
    items = {}
    for row in text.rows:
        try:
            figures = {key: COUNT.integer(key, row.cells[key]) for key in ("index", "images")}
            percent = {key: PERCENT.decimal(key, row.cells[key]) for key in ("top1", "top5")}
            loss = LOSS.decimal("loss", row.cells["loss"])
        except (KeyError, InputError) as error:
            raise InputError(f"{row.place}: {cut(error, 200)}: {WAY_OUT}") from None
        items[figures["index"]] = {**figures, **percent, "loss": loss, "broken": []}
    if sorted(items) != sorted(numbers):
        raise InputError(f"{path} has {len(items)} of {len(numbers)} sub-networks: {WAY_OUT}")
    return items
