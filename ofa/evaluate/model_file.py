"""A model file that ofa.export wrote, as a network to evaluate: it is run by its runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InputError
from ofa.evaluate.config import EvaluateConfig
from ofa.predict.model import ModelFile, open_model, probabilities
from ofa.reading.kinds import ONNX, TFLITE, kind_of


class FileNetwork(torch.nn.Module):
    """Images (N, 3, R, R) to the logarithms of their classes' probabilities (N, classes)."""

    def __init__(self, model: ModelFile) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        found = probabilities(self.model, images.cpu().contiguous().numpy())
        return torch.from_numpy(np.log(np.maximum(found, np.finfo(np.float64).tiny))).to(images.device)


def is_model_file(path: Path) -> bool:
    """Whether a checkpoint is an ONNX or TFLite file."""
    return path.is_file() and kind_of(path) in (ONNX, TFLITE)


def open_file_network(config: EvaluateConfig) -> FileNetwork:
    """The network in a model file; InputError where it is asked for what only weights can do."""
    path = config.checkpoint
    if config.of_supernet or config.config is not None:
        raise InputError(f"{path} is a model file, with one network: leave --subnet, --random and --config out")
    if config.device not in ("auto", "cpu"):
        raise InputError(f"{path} is a model file, which is run on the CPU: leave --device {config.device} out")
    if config.half_precision:
        raise InputError(f"{path} is a model file, with types of its own: leave --precision {config.precision} out")
    model = open_model(path)
    model.check_preparation(config.override_preprocessing)
    if config.resolution not in (None, model.resolution):
        raise InputError(f"{path} is for images of {model.resolution} px: leave --resolution out")
    return FileNetwork(model)
