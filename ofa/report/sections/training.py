"""A training: its curves, and what it ended with."""

from __future__ import annotations

from ofa.report.charts.curves import loss_chart, top1_chart
from ofa.report.inputs.curves import TrainingRun
from ofa.report.inputs.values import plain
from ofa.report.parts.provenance import wilson
from ofa.report.sections.section import Figure, FigureRow, Section, joined


def training_section(run: TrainingRun, number: int) -> Section:
    """number: of the training, on the page"""
    what = "Fine-tuning" if run.is_finetuning else "Training"
    name = plain(run.path.parent)
    figures = []
    if run.top1:
        caption = "Training images are augmented, and held-out ones are not: the two lines need not meet."
        figures.append(Figure(f"top1-{number}", f"Accuracy of {name}, epoch by epoch", caption, top1_chart(run)))
    if run.loss:
        figures.append(Figure(f"loss-{number}", f"Loss of {name}, epoch by epoch", "", loss_chart(run)))
    stages = f"{len(run.stages)} stages" if len(run.stages) > 1 else ""
    space = run.settings.get("space")  # a name of ours, or a description
    space = space.get("name") if isinstance(space, dict) else space
    return Section(
        id=f"training-{number}",
        title=f"{what}: {name}",
        short=f"{what} ({plain(run.path.parent.name)})",
        about=joined(
            plain(space) if isinstance(space, str) else "", f"{run.epochs} epoch{'s' * (run.epochs != 1)}", stages
        ),
        charts=(FigureRow("", tuple(figures)),),
        lines=tuple(_end(run)),
    )


def _end(run: TrainingRun) -> list[str]:
    """What is known of the accuracy at the end, and how sure it is."""
    lines = [
        f"The {curve.name} network ended with {curve.points[-1][1]:.2f} % of the held-out images."
        for curve in run.top1
        if curve.name not in ("train", "val")
    ]
    top1, images = run.end.get("val_top1"), run.end.get("val_images")
    if isinstance(top1, int | float) and isinstance(images, int) and 0 <= top1 <= 100 and images > 0:
        low, high = wilson(top1, images)
        sure = f"{top1:.2f} % of {images:,} validation images (95 %: {low:.1f} to {high:.1f})"
        lines.append(f"The network as it is saved, calibrated anew: {sure}.")
    return lines or ["Nothing was held out: how accurate the network is on other images is not known."]
