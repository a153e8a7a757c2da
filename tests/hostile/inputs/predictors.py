"""Predictors: ours, of both kinds, and the original's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ofa.predictors.accuracy import AccuracyPredictor
from ofa.space import get_space

from ..edits import WIDE, Code, Edit, at, safetensors_cases, tensors, torch_file, without
from ..format import Format
from ..sound import SPACE

P, PJ = "predictor.safetensors", "predictor.json"


def make_predictor(folder: Path) -> None:
    AccuracyPredictor.default(SPACE).save(folder / "predictor.safetensors")


def make_ensemble(folder: Path) -> None:
    AccuracyPredictor.default(get_space("mbv3-w1.2")).save(folder / "predictor.safetensors")


def read_predictor(path: Path, space: str = SPACE.name) -> None:
    predictor = AccuracyPredictor.load(path, get_space(space))
    assert predictor.description.isprintable()
    genes = predictor.space.sample(np.random.default_rng(0), 20, resolutions=predictor.resolutions)
    for found in (predictor.predict(genes), predictor.promised(genes)):
        assert np.isfinite(found.top1).all()
        assert (found.std[np.isfinite(found.std)] >= 0).all()


def make_mit_predictor(folder: Path) -> None:
    import torch

    sizes = [128, 8, 1]
    state: dict[str, Any] = {}
    for i in range(2):
        state |= {f"{2 * i}.weight": torch.ones(sizes[i + 1], sizes[i]), f"{2 * i}.bias": torch.zeros(sizes[i + 1])}
    torch.save(state, folder / "predictor.pth")


def tensor(name: str, change: Callable[[Any], Any]) -> Edit:
    """A predictor with another tensor, and the digest that goes with it."""

    def changed(files: dict[str, bytes]) -> dict[str, bytes]:
        from safetensors.numpy import load, save

        tensors = load(files[P])
        data = save({**tensors, name: change(tensors[name])})
        header = {**json.loads(files[PJ]), "sha256": hashlib.sha256(data).hexdigest()}
        return {P: data, PJ: json.dumps(header).encode()}

    return changed


FORMATS: Mapping[str, Format] = {
    "predictor": Format("predictor.safetensors", make_predictor, read_predictor),
    "ensemble": Format("predictor.safetensors", make_ensemble, partial(read_predictor, space="mbv3-w1.2")),
    "mit-predictor": Format("predictor.pth", make_mit_predictor, read_predictor),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "predictor": {
        "no-header": without(PJ),
        "sha256": at(PJ, "sha256", value="00"),
        "schema": at(PJ, "schema", value="x\x1b" * 2000),
        "resolutions-text": at(PJ, "resolutions", value=["6_4", WIDE]),
        "resolutions-floats": at(PJ, "resolutions", value=[64.5, 96]),
        "resolutions-many": at(PJ, "resolutions", value=list(range(100_000))),
        "resolutions-none": at(PJ, "resolutions", value=[]),
        "resolutions-huge": at(PJ, "resolutions", value=[64, 10**30]),
        "choices": at(PJ, "choices", value={"family": "x"}),
        "choices-list": at(PJ, "choices", value=[1]),
        "uncertainty-number": at(PJ, "uncertainty", value=5),
        "uncertainty-text": at(PJ, "uncertainty", value={"noise": ["0.1"], "scale": "1"}),
        "scale-text": at(PJ, "uncertainty", "scale", value="1"),
        "scale-negative": at(PJ, "uncertainty", "scale", value=-1),
        "scale-1e300": at(PJ, "uncertainty", "scale", value=1e300),
        "noise-text": at(PJ, "uncertainty", "noise", 0, value="0.1"),
        "noise-negative": at(PJ, "uncertainty", "noise", 0, value=-0.1),
        "interpolation-text": at(PJ, "uncertainty", "interpolation", value="x"),
        "uncertainty-more": at(PJ, "uncertainty", "magic", value=1),
        "weights-nan": tensor("hidden", lambda t: t * float("nan")),
        "weights-1e30": tensor("choices", lambda t: t * 0 + 1e30),
        "weights-whole": tensor("levels", lambda t: t.astype("int64")),
        "weights-shape": tensor("levels", lambda t: t[:, :2].copy()),
        "weights-none": tensor("choices", lambda t: t[:0].copy()),
        "knots": tensor("bend.knots", lambda t: t[::-1].copy()),
        "optimism-list": at(PJ, "optimism", value=[1]),
        "optimism-text": at(PJ, "optimism", value={"48": "1"}),
        "source-1e300": at(PJ, "source_sd", value={"48": 1e300}),
        "scale-number": at(PJ, "scale", value=5),
        "scale-list": at(PJ, "scale", value={"offset": [1], "sd": 1, "checked": "x"}),
        "scale-more": at(PJ, "scale", value={"x" * 2000: 1}),
        "resolutions-300": at(PJ, "resolutions", value=list(range(64, 364))),
        **safetensors_cases(P),
    },
    "ensemble": {
        "features": at(PJ, "features", value=["a"] * 5000),
        "features-number": at(PJ, "features", value=5),
        "noise-short": at(PJ, "uncertainty", "noise", value=[0.1]),
        "levels-nan": tensor("levels", lambda t: t * float("nan")),
        "weights-1e30": tensor("members.0.weight.0", lambda t: t * 0 + 1e30),
        "weights-shape": tensor("members.0.weight.0", lambda t: t[:, :5].copy()),
        **safetensors_cases(P),
    },
    "mit-predictor": {
        "gone": without("predictor.pth"),
        "tensor-list": torch_file([1, 2]),
        "scalar-weight": torch_file(tensors(**{"0_weight": (), "0_bias": ()})),
        "three-dims": torch_file(tensors(**{"0_weight": (1, 128, 1), "0_bias": (1,)})),
        "complex": torch_file(tensors(**{"0_weight": lambda t: t.ones(1, 128) * 1j, "0_bias": (1,)})),
        "nan": torch_file(tensors(**{"0_weight": lambda t: t.full((1, 128), float("nan")), "0_bias": (1,)})),
        "features": torch_file(tensors(**{"0_weight": (1, 77), "0_bias": (1,)})),
        "no-outputs": torch_file(tensors(**{"0_weight": (0, 128), "0_bias": (0,)})),
        "base-vector": torch_file(tensors(base_acc=(5,), layers_0_weight=(1, 128))),
        "names": torch_file(tensors(**{f"x{'y' * 500}\x1b{i}": (1,) for i in range(50)})),
        "code": torch_file({"0.weight": Code()}),
    },
}

# what may be read, as long as it is read soundly

ODD: Mapping[str, Mapping[str, Edit]] = {
    "predictor": {
        "description": at(PJ, "description", value="d\x1b]0;x\x07" * 9),
        "description-list": at(PJ, "description", value=[1]),
        "uncertainty-null": at(PJ, "uncertainty", value=None),
    },
}

JSON = {
    "predictor": "predictor.json",
    "ensemble": "predictor.json",
}

BINARY = {
    "predictor": "predictor.safetensors",
    "mit-predictor": "predictor.pth",
}
