"""What an evaluation shows: tables of accuracies, confusion matrices as pictures, and the command that comes next."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ofa.cli.console import spelled
from ofa.evaluate.config import EvaluateConfig
from ofa.evaluate.confusion import write_picture
from ofa.evaluate.model_file import is_model_file
from ofa.evaluate.run import Evaluation
from ofa.images.files.names import shown

MOST_WITHOUT_TOP5 = 10  # classes: of so few, the first five say little
MOST_LISTED = 20  # classes in the table; the result has all
MOST_PICTURES = 10  # networks


def write_pictures(result: Evaluation) -> list[Path]:
    """A picture of the confusion matrix of each network, of the first ten at most; none without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    out, paths = result.config.out, []
    for i, found in enumerate(result.networks[:MOST_PICTURES]):
        paths.append(out.with_name(f"{out.stem}.confusion{f'.{i}' if len(result.networks) > 1 else ''}.png"))
        title = f"{found.network.name}, {found.network.resolution} px: top-1 {found.scores.to_dict()['top1']:.2f} %"
        write_picture(paths[-1], found.confusion, title)
    return paths


def print_evaluation(console: Console, result: Evaluation, pictures: Sequence[Path]) -> None:
    """Tables of the accuracies, and of one network's classes; what was written; what comes next."""
    config = result.config
    rows = [network.to_dict() for network in result.networks]
    console.print(_accuracies(rows, with_top5=result.classes > MOST_WITHOUT_TOP5))
    if len(rows) == 1:
        listed = list(rows[0]["per_class"].items())
        few = Table("class", "images", "top-1 %", title="the worst classes first", title_justify="left")
        for name, figures in listed[:MOST_LISTED]:
            few.add_row(Text(shown(name)), str(figures["images"]), f"{figures['top1']:.2f}")
        console.print(few)
        if len(listed) > MOST_LISTED:
            console.print(f"the other {len(listed) - MOST_LISTED} classes are in {config.out}")
    also = f", and the confusion matrix as {', '.join(map(str, pictures))}" if pictures else ""
    console.print(f"wrote {config.out}{also}", soft_wrap=True)
    console.print(_next(config), soft_wrap=True)


def _accuracies(rows: Sequence[Mapping[str, Any]], *, with_top5: bool) -> Table:
    predicted = any("predicted_top1" in row for row in rows)
    columns = ["network", "resolution", "images", "top-1 %", *(["top-5 %"] if with_top5 else []), "loss", "worst class"]
    table = Table(*columns, *(["predicted top-1 %"] if predicted else []))
    for row in rows:
        cells: list[str | Text] = [Text(shown(row["name"])), str(row["resolution"]), str(row["images"])]
        cells += [f"{row[key]:.2f}" for key in ("top1", "top5")[: 1 + with_top5]] + [f"{row['loss']:.4f}"]
        worst, figures = next(iter(row["per_class"].items()))
        cells.append(Text(f"{shown(worst)}: {figures['top1']:.2f} %"))
        if predicted:
            cells.append("" if row.get("predicted_top1") is None else f"{row['predicted_top1']:.2f}")
        table.add_row(*cells)
    return table


def _next(config: EvaluateConfig) -> str:
    if is_model_file(config.checkpoint):
        return f"next: try it on a photograph: {spelled('ofa.predict', 'PHOTO', '--model', config.checkpoint)}"
    if config.of_supernet:
        export = spelled("ofa.export", "--checkpoint", config.checkpoint, "--subnet", "FILE", "--format", "onnx")
        return f"next: {export}, or fine-tune one: python -m ofa.finetune --help"
    if config.config is None:
        return f"next: deploy it with {spelled('ofa.export', '--checkpoint', config.checkpoint, '--format', 'onnx')}"
    return "next: measure it on this machine: python -m profilers.cpu --help"
