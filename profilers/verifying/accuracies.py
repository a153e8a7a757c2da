"""The measured accuracy of verified networks, by ofa.evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa.cli.console import progress_bar, tell
from ofa.evaluate.config import EvaluateConfig
from profilers.verifying.verify_config import VerifyConfig

if TYPE_CHECKING:
    from rich.console import Console

    from ofa.checkpoints.images import EvaluationImages


def evaluation_of(config: VerifyConfig, subnets: Path) -> EvaluateConfig:
    """How ofa.evaluate is asked. subnets: the file that names them"""
    assert config.checkpoint is not None
    assert config.data is not None
    return EvaluateConfig(
        checkpoint=config.checkpoint,
        data=config.data,
        subnet=subnets,
        out=config.accuracy_file,
        resume=config.resume,
        overwrite=config.overwrite,
    )


def check_evaluation(config: VerifyConfig) -> None:
    """InputError where the supernet or the images do not fit the result: before anything is measured."""
    if config.data is None:
        return
    from ofa.checkpoints.images import open_evaluation_images
    from ofa.checkpoints.opening import num_classes_of
    from ofa.evaluate.model_file import FileNetwork
    from ofa.evaluate.networks import open_networks

    asked = evaluation_of(config, config.result)
    net, _ = open_networks(asked)
    assert not isinstance(net, FileNetwork), "a model file is refused where sub-networks are named"
    open_evaluation_images(asked.checkpoint, num_classes_of(net), asked, asked, asked.seed)


def with_accuracies(config: VerifyConfig, content: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """The content of the file that was written, with `measured_top1`, per cent, of each of its results."""
    from ofa.evaluate.run import EvaluateWatcher, evaluate_networks

    def begin(images: EvaluationImages) -> None:
        tell(console, images.lines, images.facts.marks)

    asked = evaluation_of(config, config.file)
    with progress_bar(console, counted=True) as bar:
        evaluation = evaluate_networks(asked, EvaluateWatcher(begin, bar.show))
    results = []
    for result, evaluated in zip(content["results"], evaluation.networks, strict=True):
        top1 = evaluated.scores.to_dict()["top1"]
        predicted = f"{result['predicted_top1']:.2f} % predicted"
        console.print(f"{result['limit_ms']:g} ms: top-1 {top1:.2f} % measured, {predicted}", soft_wrap=True)
        results.append({**result, "measured_top1": top1})
    console.print(f"wrote {asked.out}, and the measured accuracies into {config.file}", soft_wrap=True)
    return {**content, "results": results}
