"""Accuracy predictor: from sub-networks to their predicted top-1, a million of them in seconds.

Cai et al. 2020, section 3.4: a small network that reads one-hot choices stands in for evaluating on
the validation images. Here it is an ensemble, whose spread gives every prediction an interval.
Predicting is numpy only; `ofa.predictors.fit` makes predictors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError, one_line
from ofa.predictors.encoder import FIELDS, FeatureEncoder
from ofa.predictors.mit_predictor import looks_like_torch, read_mit_predictor
from ofa.predictors.mlp import Ensemble, Mlp
from ofa.reading.numbers import PERCENT, PIXELS, Bounds, cut, short
from ofa.reading.structured import as_object, read_json
from ofa.space import Genes, SearchSpace, Subnet
from ofa.space.resolutions import MOST_RESOLUTION

SCHEMA = "ofa-accuracy-predictor/1"
SPREAD = Bounds(0, 1e6, "times")
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Prediction:
    """Predictions of N sub-networks.

    top1: (N,) predicted ImageNet top-1, per cent
    std: (N,) its standard deviation, per cent; NaN where the predictor does not know
    interpolated: (N,) whether the resolution lies between two that the predictor knows
    """

    top1: NDArray[np.float64]
    std: NDArray[np.float64]
    interpolated: NDArray[np.bool_]


@dataclass(frozen=True)
class Uncertainty:
    """How an ensemble's spread becomes a standard deviation: sqrt(noise^2 + (scale * spread)^2).

    noise: per cent, one a known resolution: what no model explains of the accuracies measured there
    scale: what the members' spread is multiplied with; both are fitted on the calibration split
    interpolation: per cent, added in quadrature between two known resolutions
    """

    noise: tuple[float, ...]
    scale: float
    interpolation: float = 0.0


class AccuracyPredictor:
    """Predicts top-1 of the sub-networks of one space. Get one with `default` or `load`.

    space: what it is bound to; only `num_classes` may differ from what it was made for
    resolutions: those that it knows exactly, pixels, ascending; those between are interpolated
    header: where it comes from, what it was fitted on and how good it is
    """

    def __init__(
        self,
        encoder: FeatureEncoder,
        members: Sequence[Mlp],
        header: Mapping[str, Any],
        uncertainty: Uncertainty | None = None,
        levels: Sequence[float] | None = None,
    ) -> None:
        """levels: what is added to every member's output at each known resolution, per cent (default 0)."""
        for member in members:
            if member.num_features != encoder.num_features:
                raise ValueError(f"{member.num_features} features, the encoder makes {encoder.num_features}")
        self.encoder, self.header, self.uncertainty = encoder, dict(header), uncertainty
        self.space = encoder.space
        self.resolutions = encoder.resolutions
        self._ensemble = Ensemble(members)
        self.levels = np.zeros(len(self.resolutions)) if levels is None else np.array(levels, dtype=np.float64)
        self._noise = np.zeros(len(self.resolutions)) if uncertainty is None else np.array(uncertainty.noise)
        if len(self.levels) != len(self.resolutions) or len(self._noise) != len(self.resolutions):
            raise ValueError("levels and noise are expected to have one value a resolution")
        self._below, self._above, self._share = _neighbours(self.resolutions)

    @property
    def ensemble(self) -> tuple[Mlp, ...]:
        """The networks whose outputs, plus the level of the resolution, are averaged."""
        return self._ensemble.members

    @property
    def description(self) -> str:
        """One line: origin and fidelity."""
        return one_line(str(self.header.get("description", "")))

    @staticmethod
    def shipped() -> tuple[str, ...]:
        """Names of the spaces that `default` knows."""
        return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))

    @classmethod
    def default(cls, space: SearchSpace) -> AccuracyPredictor:
        """The shipped predictor of the space's name; InputError names those that exist."""
        path = WEIGHTS / f"{space.name}.safetensors"
        if not path.is_file():
            raise InputError(
                f"no accuracy predictor is shipped for {space.name} (there is one for {', '.join(cls.shipped())}): "
                f"fit one with python -m ofa.predictors.fit --data CSV --space {space.name} --out PATH"
            )
        return cls.load(path, space)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], space: SearchSpace, resolutions: Sequence[int] | None = None
    ) -> AccuracyPredictor:
        """Reads what `save` wrote (.safetensors, with the .json next to it), or a .pth/.pt that MIT released.

        resolutions: for MIT's only: see `ofa.predictors.mit_predictor.read_mit_predictor`.
        Raises InputError if a file is missing or damaged, or the predictor is for another space.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"no such predictor: {path}")
        if looks_like_torch(path):
            encoder, network, header = read_mit_predictor(path, space, resolutions)
            return cls(encoder, [network], header)
        if resolutions is not None:
            raise InputError(f"{path} states its resolutions itself: leave resolutions out")
        header, tensors = _read_files(path)
        return _from_file(path, header, tensors, space)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `path` (.safetensors) and the header next to it (.json); each appears whole or not at all."""
        import safetensors.numpy

        path = Path(path)
        if path.suffix != ".safetensors":
            raise InputError(f"{path}: a predictor is saved as .safetensors, with its .json next to it")
        tensors: dict[str, NDArray[Any]] = {
            f"members.{m}.{kind}.{i}": np.ascontiguousarray(array)
            for m, member in enumerate(self._ensemble.members)
            for kind, arrays in (("weight", member.weights), ("bias", member.biases))
            for i, array in enumerate(arrays)
        }
        tensors["levels"] = self.levels
        data = safetensors.numpy.save(tensors)
        header = self.header | {
            "schema": SCHEMA,
            "space": self.space.name,
            "choices": _choices(self.space),
            "resolutions": list(self.resolutions),
            "features": list(self.encoder.order),
            "uncertainty": None if self.uncertainty is None else asdict(self.uncertainty),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        for target, content in ((path, data), (path.with_suffix(".json"), _pretty(header).encode())):
            temporary = target.with_name(target.name + ".tmp")
            temporary.write_bytes(content)
            temporary.replace(target)

    def predict(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Prediction:
        """Predicts one sub-network, several, or N rows of genes of `space`.

        Between two known resolutions the prediction lies between theirs, linear in resolution^-2 (accuracy
        is nearly a straight line in it: docs/accuracy_predictor.md). Raises InputError for a sub-network
        of another space, or a resolution outside the known range.
        """
        genes = self.space.as_genes(subnets)
        below, above, share = (table[genes[:, 0]] for table in (self._below, self._above, self._share))
        if np.isnan(share).any():
            wrong = genes[np.argmax(np.isnan(share)), 0]
            raise InputError(
                f"resolution {wrong} is outside what the predictor covers: "
                f"{self.resolutions[0]} to {self.resolutions[-1]} px ({self.description})"
            )
        marked = self.encoder.mark_skipped(genes)
        # (members, N)
        outputs: NDArray[Any] = self._ensemble(self.encoder.one_hot(marked, below)) + self.levels[below]
        noise = self._noise[below]
        interpolated = share > 0
        if interpolated.any():
            rows, part = np.flatnonzero(interpolated), share[interpolated]
            upper = self._ensemble(self.encoder.one_hot(marked[rows], above[rows])) + self.levels[above[rows]]
            outputs[:, rows] += part * (upper - outputs[:, rows])
            noise[rows] += part * (self._noise[above[rows]] - noise[rows])
        if self.uncertainty is None:
            return Prediction(outputs.mean(axis=0), np.full(len(genes), np.nan), interpolated)
        variance = noise**2 + self.uncertainty.scale**2 * outputs.var(axis=0)
        variance[interpolated] += self.uncertainty.interpolation**2
        return Prediction(outputs.mean(axis=0), np.sqrt(variance), interpolated)

    def top1(self, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        """(N,) predicted top-1 alone, per cent."""
        return self.predict(subnets).top1

    def members(self, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        """(members, N) what each member predicts, per cent, at resolutions that are known exactly."""
        genes = self.space.as_genes(subnets)
        if self._share[genes[:, 0]].any():
            raise InputError(f"members are asked at the resolutions {list(self.resolutions)} only")
        known = self._below[genes[:, 0]]
        features = self.encoder.one_hot(self.encoder.mark_skipped(genes), known)
        outputs: NDArray[np.float64] = self._ensemble(features) + self.levels[known]
        return outputs


def _neighbours(known: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """For every number of pixels the indices of the known resolutions around, and how far it lies towards the upper.

    Share is 0 for a known resolution, NaN for one outside the range.
    """
    pixels = np.arange(MOST_RESOLUTION + 1)
    above = np.searchsorted(known, pixels, side="left")
    outside = above == len(known)
    above = np.minimum(above, len(known) - 1)
    exact = np.array(known)[above] == pixels
    below = np.where(exact, above, above - 1)
    outside |= below < 0
    below = np.maximum(below, 0)
    line = np.array(known, dtype=np.float64) ** -2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (pixels.astype(np.float64) ** -2 - line[below]) / (line[above] - line[below])
    # the encoder has fewer resolutions than a byte has values
    return below.astype(np.uint8), above.astype(np.uint8), np.where(outside, np.nan, np.where(exact, 0.0, share))


def _choices(space: SearchSpace) -> dict[str, Any]:
    """What two spaces must share for one predictor to serve both."""
    return {
        "family": space.family,
        "width_choices": list(space.width_choices),
        "kernel_choices": list(space.kernel_choices),
        "expand_choices": list(space.expand_choices),
        "depth_choices": [list(unit.depth_choices) for unit in space.units],
    }


def _pretty(header: Mapping[str, Any]) -> str:
    return json.dumps(header, indent=1, allow_nan=False) + "\n"


def _read_files(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and tensors, checked to belong together."""
    import safetensors
    import safetensors.numpy

    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise InputError(f"{path}: its header {beside.name} is not next to it")
    header = read_json(beside)
    if header.get("schema") != SCHEMA:
        raise InputError(f"{beside}: schema is {short(header.get('schema'))}, expected {SCHEMA!r}")
    data = path.read_bytes()
    try:
        tensors = safetensors.numpy.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a safetensors file: {error}") from None
    if hashlib.sha256(data).hexdigest() != header.get("sha256"):
        raise InputError(f"{path}: its sha256 is not the one in {beside.name}: damaged, or not of one fit; fit again")
    return header, tensors


def _uncertainty(stated: Mapping[str, Any] | None) -> Uncertainty | None:
    """As a header has it, each figure checked."""
    if stated is None:
        return None
    noise, scale, interpolation = stated["noise"], stated["scale"], stated.get("interpolation", 0.0)
    if unknown := set(stated) - {"noise", "scale", "interpolation"}:
        raise InputError(f"uncertainty has unknown fields {short(sorted(unknown))}")
    return Uncertainty(
        tuple(PERCENT.check("noise", n) for n in noise),
        SPREAD.check("scale", scale),
        PERCENT.check("interpolation", interpolation),
    )


def _from_file(
    path: Path, header: dict[str, Any], tensors: Mapping[str, NDArray[Any]], space: SearchSpace
) -> AccuracyPredictor:
    try:
        made_for, choices = cut(header["space"]), as_object(header["choices"], "choices")
        resolutions = [PIXELS.whole("resolution", r) for r in header["resolutions"][: MOST_RESOLUTION + 1]]
        order = [str(field) for field in header["features"]]
        uncertainty = _uncertainty(header["uncertainty"])
        if choices != _choices(space):
            differ = [key for key, value in _choices(space).items() if choices.get(key) != value]
            raise InputError(f"predictor {path} is for {made_for}, not {space.name} (they differ in {differ})")
        if not resolutions or resolutions != sorted(set(resolutions)) or sorted(order) != sorted(FIELDS):
            raise ValueError(f"resolutions {short(resolutions)} or features {short(order)}")
        members: list[Mlp] = []
        while f"members.{len(members)}.weight.0" in tensors:
            stem = f"members.{len(members)}."
            layers = sum(name.startswith(f"{stem}weight.") for name in tensors)
            members.append(
                Mlp(
                    tuple(tensors[f"{stem}weight.{i}"] for i in range(layers)),
                    tuple(tensors[f"{stem}bias.{i}"] for i in range(layers)),
                )
            )
        return AccuracyPredictor(
            FeatureEncoder(space, resolutions, order), members, header, uncertainty, tensors["levels"].tolist()
        )
    except InputError as error:
        beside = path.with_suffix(".json")
        raise error if str(path) in str(error) else InputError(f"{beside}: damaged: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path.with_suffix('.json')}: damaged: {short(error)}") from None
