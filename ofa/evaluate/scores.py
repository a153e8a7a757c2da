"""Top-1, top-5 and loss, as counts that can be added over batches, processes and sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """Counts over labelled images.

    images: how many
    top1, top5: how many of them have their label first, or among the first five
    loss_sum: cross-entropy summed over them, nats
    """

    images: int = 0
    top1: int = 0
    top5: int = 0
    loss_sum: float = 0.0

    @classmethod
    def of(cls, images: int, counts: Sequence[float]) -> Scores:
        """Of so many images, with the sums of their `counts_of`."""
        top1, top5, loss_sum = counts
        return cls(images, int(top1), int(top5), loss_sum)

    def __add__(self, other: Scores) -> Scores:
        return Scores(
            self.images + other.images,
            self.top1 + other.top1,
            self.top5 + other.top5,
            self.loss_sum + other.loss_sum,
        )

    def to_dict(self) -> dict[str, float | int | None]:
        """top1 and top5 in percent, the mean loss in nats, and the number of images; None over no image."""
        n = self.images
        return {
            "images": n,
            "top1": 100 * self.top1 / n if n else None,
            "top5": 100 * self.top5 / n if n else None,
            "loss": self.loss_sum / n if n else None,
        }


def first_choices(logits: Tensor) -> Tensor:
    """(N,) the class that each row of logits (N, classes) has first, as `scores_of` counts."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices[:, 0]


def counts_of(logits: Tensor, labels: Tensor) -> Tensor:
    """(3,) float64 on their device: `Scores.top1`, `top5` and `loss_sum` of logits (N, classes), labels (N,).

    Of up to five classes every label is in the top 5. Nothing is read from the device.
    """
    first = logits.topk(min(5, logits.shape[1]), dim=1).indices
    right = first == labels[:, None]
    loss = F.cross_entropy(logits.double(), labels, reduction="sum")
    return torch.stack([right[:, 0].sum().double(), right.any(dim=1).sum().double(), loss])


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """The scores of a batch: logits (N, classes), labels (N,)."""
    return Scores.of(len(labels), counts_of(logits, labels).tolist())
