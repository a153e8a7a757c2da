"""What a training's check-ups calibrate with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ofa.images.held_out import open_photos
from ofa.images.preprocessing import HALF
from ofa.networks import build_supernet, calibrate_bn
from ofa.runs.processes import Processes
from ofa.space import get_space
from ofa.training import checkup
from ofa.training.checkup import Checkup
from ofa.training.supply import Preparation


def test_batches_to_calibrate_with_are_of_several_classes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def calibrated(net: Any, subnet: Any, batches: Iterable[tuple[Tensor, Tensor]]) -> Any:
        kept = list(batches)
        seen.extend(labels for _, labels in kept)
        return calibrate_bn(net, subnet, kept)

    monkeypatch.setattr(checkup, "calibrate_bn", calibrated)
    space = get_space("mbv3-w0.1", 3, [32])
    opened = open_photos(photos, held_out=0)
    check = Checkup(opened, Preparation(8, *HALF), Processes(0, 1, torch.device("cpu")), 32, 4, 24)
    check(build_supernet(space), {"any": space.decode(space.sample(np.random.default_rng(0), 1))[0]})
    assert [len(set(labels.tolist())) for labels in seen] == [3, 3, 3]
    assert sorted(torch.cat(seen).tolist()) == sorted(opened.folder.labels)
