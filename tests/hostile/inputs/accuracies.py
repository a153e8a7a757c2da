"""Accuracies of sub-networks, as `ofa.predictors.collect` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ofa.predictors.subnet_accuracies import read_accuracies_csv, read_image_facts

from ..edits import DIGITS, WIDE, Edit, edited, swap
from ..format import Format
from ..sound import IMAGES, SPACE, sound_images

A = "accuracies.csv"


def make_accuracies(folder: Path) -> None:
    subnets = SPACE.decode(SPACE.sample(np.random.default_rng(0), 130, resolutions=[64, 96]))
    facts = {"space": SPACE.name, "rows": len(subnets), "checkpoint_sha256": "00", "image_facts": IMAGES}
    lines = [f"# {key}: {json.dumps(value)}" for key, value in facts.items()]
    lines.append("resolution,depths,kernel_sizes,expand_ratios,top1")
    for i, s in enumerate(subnets):
        lists = [" ".join(map(str, values)) for values in (s.depths, s.kernel_sizes, s.expand_ratios)]
        lines.append(f"{s.resolution},{','.join(lists)},{60 + i % 17}.25")
    (folder / "accuracies.csv").write_text("\n".join(lines) + "\n")


def read_accuracies(path: Path) -> None:
    data = read_accuracies_csv(path, SPACE.name)
    assert len(data.genes) == len(data.top1)
    assert ((data.top1 >= 0) & (data.top1 <= 100)).all()
    sound_images(read_image_facts(path))


FORMATS: Mapping[str, Format] = {
    "accuracies": Format("accuracies.csv", make_accuracies, read_accuracies),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "accuracies": {
        **{f"top1-{new[:10]}": swap(A, "60.25", new) for new in ("nan", "101", "-1", "1e3", "6_0", WIDE, DIGITS, "")},
        "fractions": partial(edited, A, lambda content: content.replace(b",60.25", b",0.6025")),
        "other-space": swap(A, '"mbv3-w0.35"', '"mbv3-w1.0"'),
        "space-number": swap(A, '"mbv3-w0.35"', "35"),
        "space-long": swap(A, '"mbv3-w0.35"', json.dumps("y\x1b" * 3000)),
        "rows-lie": swap(A, "rows: 130", "rows: 131"),
        "rows-text": swap(A, "rows: 130", 'rows: "130"'),
        "rows-deep": swap(A, "rows: 130", "rows: " + "[" * 70_000),
        "facts-cut": swap(A, '"classes"', '"classes'),
        "images-number": swap(A, "image_facts: {", "image_facts: 5\n# x: {"),
        "mean-text": swap(A, "[0.5, 0.5, 0.5]", '"abc"'),
        "classes-twice": swap(A, '["a", "b"]', '["a", "a"]'),
        "resolution-float": swap(A, "\n64,", "\n64.5,"),
        "depth-9": swap(A, "\n64,", "\n64,9 "),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "accuracies": {"checkpoint-list": swap(A, '"00"', "[1, [2]]")},
}
CSV = ("accuracies",)
