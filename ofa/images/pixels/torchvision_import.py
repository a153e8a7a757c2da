"""The one place where torchvision is imported: for augmenting training images, nothing else."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch

from ofa.optional_packages import missing_package

# torch forgets the definitions when this is collected
_definitions: list[Any] = []


def import_transforms() -> Any:
    """The module `torchvision.transforms`; MissingPackage, saying how to install it, where there is none.

    PyPI's wheel for x86-64 Linux is linked to CUDA: beside a CPU-only torch its operators cannot be loaded, and the
    import fails over two that are then unknown. Declaring them is enough, as no transform uses them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise missing_package("torchvision", "augmenting images")
    operators: Any = torch.ops  # without types
    registry: Any = torch.library
    if not _definitions and not hasattr(operators.torchvision, "nms"):
        try:
            operators.load_library(Path(spec.origin).parent / "_C.so")
        except OSError:
            library = registry.Library("torchvision", "FRAGMENT")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _definitions.append(library)
    return importlib.import_module("torchvision.transforms")
