"""How closely a model file agrees with the network it was made from, on real images or random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from ofa.model_files.running import Runner
from ofa.networks.plain import PlainNetwork


@dataclass(frozen=True)
class Agreement:
    """What two models make of the same images.

    images: how many
    top1_agreement_pct: the share whose highest logit is the same
    max_relative_error: greatest difference of a logit, over the greatest logit of the network
    network_top1_pct, model_top1_pct: accuracy, None where the images' classes are not known
    """

    images: int
    top1_agreement_pct: float
    max_relative_error: float
    network_top1_pct: float | None = None
    model_top1_pct: float | None = None

    def to_dict(self) -> dict[str, float | int]:
        """The JSON form, without what is not known."""
        return {
            key: round(value, 8) if isinstance(value, float) else value
            for key, value in asdict(self).items()
            if value is not None
        }

    def __str__(self) -> str:
        text = f"same top-1 on {self.top1_agreement_pct:.2f} % of {self.images} images"
        if self.model_top1_pct is not None and self.network_top1_pct is not None:
            text += f"; top-1 accuracy {self.model_top1_pct:.2f} %, of the float network {self.network_top1_pct:.2f} %"
        return text


def compare(
    network: PlainNetwork,
    model: Runner,
    batches: Iterable[tuple[Tensor, Tensor]],
    classes: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Agreement:
    """Runs both on every batch of images (N, 3, R, R) and labels (N,).

    classes: the logit of every label, where known
    progress: called with the number of images after each batch
    """
    count = same = network_right = model_right = 0
    difference = largest = 0.0
    network.eval()
    for images, labels in batches:
        with torch.no_grad():
            expected = network(images).numpy()
        given = model(images.numpy())
        difference = max(difference, float(np.abs(given - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
        first, second = expected.argmax(1), given.argmax(1)
        count += len(images)
        same += int((first == second).sum())
        if classes is not None:
            truth = np.array(classes)[labels.numpy()]
            network_right += int((first == truth).sum())
            model_right += int((second == truth).sum())
        if progress is not None:
            progress(len(images))
    return Agreement(
        count,
        100 * same / count,
        difference / largest if largest else 0.0,
        None if classes is None else 100 * network_right / count,
        None if classes is None else 100 * model_right / count,
    )
