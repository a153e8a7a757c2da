"""Accuracy predictor: from sub-networks to their predicted top-1, a million of them in seconds.

Cai et al. 2020, section 3.4: a small network that reads one-hot choices stands in for evaluating on
the validation images. Here it is an ensemble, whose spread gives every prediction an interval.
Predicting is numpy only; `ofa.predictors.fit` makes predictors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa.errors import InputError
from ofa.predictors.encoder import FIELDS, LATER_FIELDS, FeatureEncoder
from ofa.predictors.files import (
    choices_of,
    read_files,
    require_space,
    resolutions_stated,
    uncertainty_in,
    write_files,
)
from ofa.predictors.mit_predictor import looks_like_torch, read_mit_predictor
from ofa.predictors.mlp import Ensemble, Mlp, plausible
from ofa.predictors.prediction import Prediction, Predictor, Uncertainty
from ofa.predictors.separable.predictor import SCHEMA as SEPARABLE_SCHEMA
from ofa.predictors.separable.predictor import separable_from
from ofa.reading.files import refuse_endless
from ofa.reading.numbers import short
from ofa.space import Genes, SearchSpace, Subnet
from ofa.space.description import space_record

__all__ = ["AccuracyPredictor", "Prediction", "Uncertainty"]

SCHEMA = "ofa-accuracy-predictor/1"
WEIGHTS = Path(__file__).parent / "weights"


class AccuracyPredictor(Predictor):
    """An ensemble of networks that read a whole sub-network, MIT's among them. `default` and `load` give any kind."""

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
        super().__init__(encoder.space, encoder.resolutions, header, uncertainty)
        self.encoder = encoder
        self._ensemble = Ensemble(members)
        self.levels = np.zeros(len(self.resolutions)) if levels is None else np.array(levels, dtype=np.float64)
        if self.levels.shape != (len(self.resolutions),) or not plausible(self.levels):
            raise ValueError("levels are expected to have one value a resolution, finite")

    @property
    def ensemble(self) -> tuple[Mlp, ...]:
        """The networks whose outputs, plus the level of the resolution, are averaged."""
        return self._ensemble.members

    def bootstrapped(self, rng: np.random.Generator) -> AccuracyPredictor:
        chosen = rng.integers(len(self.ensemble), size=len(self.ensemble))
        members = [self.ensemble[i] for i in chosen]
        return AccuracyPredictor(self.encoder, members, self.header, self.uncertainty, self.levels.tolist())

    @staticmethod
    def shipped() -> tuple[str, ...]:
        """Names of the spaces that `default` knows."""
        return tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors")))

    @classmethod
    def default(cls, space: SearchSpace) -> Predictor:
        """The shipped predictor of the space's name; InputError names those that exist."""
        path = WEIGHTS / f"{space.name}.safetensors"
        if not path.is_file():
            raise InputError(
                f"no accuracy predictor is shipped for {space.name} (there is one for {', '.join(cls.shipped())}): "
                "fit one with python -m ofa.predictors.fit --data CSV --out PATH"
            )
        return cls.load(path, space)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], space: SearchSpace, resolutions: Sequence[int] | None = None
    ) -> Predictor:
        """Reads what `save` wrote (.safetensors, with the .json next to it), or a .pth/.pt that MIT released.

        resolutions: for MIT's only: see `ofa.predictors.mit_predictor.read_mit_predictor`.
        Raises InputError if a file is missing or damaged, or the predictor is for another space.
        """
        path = Path(path)
        refuse_endless(path)
        if not path.is_file():
            raise InputError(f"no such predictor: {path}")
        if looks_like_torch(path):
            encoder, network, header = read_mit_predictor(path, space, resolutions)
            return cls(encoder, [network], header)
        if resolutions is not None:
            raise InputError(f"{path} states its resolutions itself: leave resolutions out")
        header, tensors = read_files(path, (SCHEMA, SEPARABLE_SCHEMA))
        read = _from_file if header["schema"] == SCHEMA else separable_from
        return read(path, header, tensors, space)

    def save(self, path: str | os.PathLike[str]) -> None:
        tensors: dict[str, NDArray[Any]] = {
            f"members.{m}.{kind}.{i}": array
            for m, member in enumerate(self._ensemble.members)
            for kind, arrays in (("weight", member.weights), ("bias", member.biases))
            for i, array in enumerate(arrays)
        }
        tensors["levels"] = self.levels
        header = self.header | {
            "schema": SCHEMA,
            **space_record(self.space),
            "choices": choices_of(self.space),
            "resolutions": list(self.resolutions),
            # a field that came later is named where the space has it: earlier versions read the others
            "features": [f for f in self.encoder.order if f not in LATER_FIELDS or self.space.has(f)],
            "uncertainty": None if self.uncertainty is None else asdict(self.uncertainty),
        }
        write_files(Path(path), header, tensors)

    def predict(self, subnets: Subnet | Sequence[Subnet] | Genes) -> Prediction:
        """Predicts one sub-network, several, or N rows of genes of `space`.

        Between two known resolutions the prediction lies between theirs, linear in resolution^-2 (accuracy
        is nearly a straight line in it: docs/results/accuracy_predictor.md). Raises InputError for a sub-network
        of another space, or a resolution outside the known range.
        """
        genes = self.space.as_genes(subnets)
        self.require_covered(genes)
        places = self.between.below, self.between.above, self.between.share
        below, above, share = (table[genes[:, 0]] for table in places)
        marked = self.encoder.mark_skipped(genes)
        # (members, N)
        outputs: NDArray[Any] = self._ensemble(self.encoder.one_hot(marked, below)) + self.levels[below]
        interpolated = share > 0
        if interpolated.any():
            rows, part = np.flatnonzero(interpolated), share[interpolated]
            upper = self._ensemble(self.encoder.one_hot(marked[rows], above[rows])) + self.levels[above[rows]]
            outputs[:, rows] += part * (upper - outputs[:, rows])
        if self.uncertainty is None:
            return Prediction(outputs.mean(axis=0), np.full(len(genes), np.nan), interpolated)
        noise = self.between.mixed(np.array(self.uncertainty.noise), genes[:, 0])
        variance = noise**2 + self.uncertainty.scale**2 * outputs.var(axis=0)
        variance[interpolated] += self.uncertainty.interpolation**2
        return Prediction(outputs.mean(axis=0), np.sqrt(variance), interpolated)

    def members(self, subnets: Subnet | Sequence[Subnet] | Genes) -> NDArray[np.float64]:
        genes = self.space.as_genes(subnets)
        if self.between.share[genes[:, 0]].any():
            raise InputError(f"members are asked at the resolutions {', '.join(map(str, self.resolutions))} only")
        known = self.between.below[genes[:, 0]]
        features = self.encoder.one_hot(self.encoder.mark_skipped(genes), known)
        outputs: NDArray[np.float64] = self._ensemble(features) + self.levels[known]
        return outputs


def _from_file(
    path: Path, header: dict[str, Any], tensors: Mapping[str, NDArray[Any]], space: SearchSpace
) -> AccuracyPredictor:
    try:
        require_space(path, header, space)
        resolutions = resolutions_stated(header)
        order = [str(field) for field in header["features"]]
        if sorted({*order, *LATER_FIELDS}) != sorted(FIELDS) or len(set(order)) < len(order):
            raise ValueError(f"features {short(order)}")
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
            FeatureEncoder(space, resolutions, order),
            members,
            header,
            uncertainty_in(header),
            tensors["levels"].tolist(),
        )
    except InputError as error:
        beside = path.with_suffix(".json")
        raise error if str(path) in str(error) else InputError(f"{beside}: damaged: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path.with_suffix('.json')}: damaged: {short(error)}") from None
