"""Top-1, top-5 and loss, as counts that can be added over batches, processes and sessions."""

from __future__ import annotations

from dataclasses import dataclass

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


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """The counts of a batch: logits (N, classes), labels (N,). Of up to five classes every label is in the top 5."""
    first = logits.topk(min(5, logits.shape[1]), dim=1).indices
    right = first == labels[:, None]
    return Scores(
        images=len(labels),
        top1=int(right[:, 0].sum()),
        top5=int(right.any(dim=1).sum()),
        loss_sum=float(F.cross_entropy(logits.double(), labels, reduction="sum")),
    )
