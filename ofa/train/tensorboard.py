"""Metrics for TensorBoard, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ofa.optional_packages import MissingPackage


class TensorBoard:
    """Writes an epoch's numbers into a folder that `tensorboard --logdir` shows."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingPackage("--tensorboard needs its package: pip install tensorboard") from None
        self._writer: Any = SummaryWriter(str(folder))

    def add(self, metrics: Mapping[str, Any], step: int) -> None:
        """step: steps since the run began, the horizontal axis"""
        for name, value in metrics.items():
            if isinstance(value, (int, float)) and name != "epoch":
                self._writer.add_scalar(name, value, step)
        self._writer.flush()
