"""The accuracy predictors that the original implementation released, read as they are.

Two formats. "tutorial": a plain stack of linear layers ("0.weight", "2.weight" ...) on 128 features of
OFA-MobileNetV3: kernel sizes, expand ratios, resolution. "nas": "layers.0.0.weight" ... and a constant
"base_acc" that is added, on the features of its MobileNetArchEncoder (resolution, kernel sizes, expand
ratios) or ResNetArchEncoder (resolution, stem, widths, expand ratios). Both predict a fraction.
Neither file says which resolutions, or which width, its features stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.encoder import FeatureEncoder
from ofa.predictors.mlp import Mlp
from ofa.reading.numbers import cut, short
from ofa.reading.torch_file import read_torch_file
from ofa.runs.files import sha256
from ofa.space import SearchSpace

TUTORIAL_RESOLUTIONS = tuple(range(112, 225, 16))
# The rest were never trained: on average it puts 112 px above 176, and the search published with it leaves them out.
TUTORIAL_TRAINED = tuple(range(160, 225, 16))
RESNET_RESOLUTIONS = (128, 144, 160, 176, 192, 224, 240, 256)  # published with the predictor; no 208
TUTORIAL_ORDER = ("kernel_sizes", "expand_ratios", "resolution", "width_mults", "stem_depth")
NAS_ORDER = ("resolution", "stem_depth", "width_mults", "kernel_sizes", "expand_ratios")
# of files, by content: where their figures lie against measured accuracies of the same supernet, by
# python -m ofa.predictors.fit --teacher acc_predictor.pth --scale ofa_mbv3_w1.2_imagenet_top1.csv --space mbv3-w1.2
_SCALES = {
    "48685122a3540636b06699af66cd816456b25f29b69563e2fda9bed4018eeba0": {
        "offset": -3.803,
        "sd": 0.296,
        "checked": "6 measured sub-networks at 224 px, 77.3 to 78.1 %",
    }
}
_SOURCE = "the released file of MIT's once-for-all (Apache-2.0), read as it is"


def looks_like_torch(path: Path) -> bool:
    """Whether the file begins as those that torch.save writes: a zip, or a pickle."""
    with path.open("rb") as file:
        start = file.read(2)
    return start == b"PK" or start[:1] == b"\x80"


def read_mit_predictor(
    path: Path, space: SearchSpace, resolutions: Sequence[int] | None = None
) -> tuple[FeatureEncoder, Mlp, dict[str, Any]]:
    """The encoder, network (output in per cent) and header of a predictor of either format.

    resolutions: "nas" format: those that its one-hot stands for, where they are not the published ones;
        "tutorial" format: those to trust among 112 to 224 step 16, by default 160 to 224.
    Raises InputError if the file is neither, or does not fit the space.
    """
    state = _read_state(path)
    nas = "base_acc" in state
    stem = "layers." if nas else ""
    keys = sorted((k for k in state if k.endswith("weight")), key=lambda k: int(k.removeprefix(stem).split(".")[0]))
    weights = [np.ascontiguousarray(state[key].T) for key in keys]  # (inputs, outputs)
    biases = [state.get(key.removesuffix("weight") + "bias", np.zeros(state[key].shape[0])) for key in keys]
    # a fraction becomes per cent
    weights[-1] = weights[-1] * 100
    biases[-1] = (biases[-1] + (state["base_acc"] if nas else 0)) * 100
    try:
        network = Mlp(tuple(map(_normal, weights)), tuple(map(_normal, biases)))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None

    order = NAS_ORDER if nas else TUTORIAL_ORDER
    if not nas and space.family != "mobilenet_v3":
        raise InputError(f"predictor {path} is for OFA-MobileNetV3 (128 features), not for {space.name}")
    encoded = tuple(sorted(resolutions)) if resolutions and nas else _encoded_resolutions(path, nas, network, space)
    encoder = FeatureEncoder(space, encoded, order)
    if network.num_features != encoder.num_features:
        raise InputError(
            f"predictor {path} is not for {space.name}: it reads {network.num_features} features, "
            f"{space.name} has {encoder.num_features}"
        )
    if not nas:
        trusted = tuple(sorted(resolutions or TUTORIAL_TRAINED))
        if unknown := [r for r in trusted if r not in encoded]:
            raise InputError(
                f"{path}: resolutions {short(unknown)} are not among the {short(list(encoded))} it encodes"
            )
        first = 120  # kernel sizes and expand ratios come before
        rows = [*range(first), *(first + encoded.index(r) for r in trusted)]
        network = Mlp((np.ascontiguousarray(network.weights[0][rows]), *network.weights[1:]), network.biases)
        encoder = FeatureEncoder(space, trusted, order)
    width = f"; its width is not in the file, taken to be {space.name}" if space.family == "mobilenet_v3" else ""
    header = {
        "space": space.name,
        "description": f"MIT's predictor {path.name} ({'nas' if nas else 'tutorial'} format){width}; no interval",
        "num_classes": 1000,
        **({"scale": _SCALES[content]} if (content := sha256(path)) in _SCALES else {}),
        "origin": {"source": _SOURCE, "path": str(path), "format": "nas" if nas else "tutorial"},
    }
    return encoder, network, header


def _encoded_resolutions(path: Path, nas: bool, network: Mlp, space: SearchSpace) -> tuple[int, ...]:
    """The resolutions of the published files; InputError where the file cannot be one of those."""
    if not nas:
        return TUTORIAL_RESOLUTIONS
    room = network.num_features - FeatureEncoder(space, (), NAS_ORDER).num_features
    if space.family == "resnet50d" or room < 1:
        return RESNET_RESOLUTIONS
    raise InputError(f"{path} does not state which {room} resolutions it knows: pass resolutions=[...]")


def _normal(values: NDArray[Any]) -> NDArray[np.float32]:
    """As float32 without denormals, of which the ResNet50D file is full: they make products many times slower."""
    return np.where(np.abs(values) < 1e-30, 0, values).astype(np.float32)


def _read_state(path: Path) -> dict[str, NDArray[Any]]:
    """The float tensors of the checkpoint; InputError for anything but a plain state dict of a predictor."""
    tensors = read_torch_file(path)
    odd = next((k for k, v in tensors.items() if v.is_complex() or not (v.ndim or k == "base_acc")), None)
    if odd is not None:
        raise InputError(f"{path}: not an accuracy predictor: {short(odd)} holds no matrix or vector of real numbers")
    state = {key: value.float().numpy() for key, value in tensors.items()}
    tutorial = {f"{2 * i}.{part}" for i in range(len(state) // 2) for part in ("weight", "bias")}
    layers = (len(state) - 2) // 2
    nas = {"base_acc", f"layers.{layers}.weight"}
    nas |= {f"layers.{i}.0.{part}" for i in range(layers) for part in ("weight", "bias")}
    if not state or set(state) not in (tutorial, nas):
        raise InputError(
            f"{path}: not an accuracy predictor: expected tensors 0.weight, 0.bias, 2.weight ... or "
            f"base_acc, layers.0.0.weight ..., got {cut(', '.join(sorted(state)[:4]), 120)} ..."
        )
    return state
