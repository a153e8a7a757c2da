"""Our predictors on Accel-NASBench's networks (MnasNet space), beside boosted trees as its authors fit.

    python benchmarks/search/accel_nasbench.py --file ../shared/reference/networks/accel_nasbench.csv.gz

Each of 1,926 networks has expand ratio, kernel size, layers and squeeze-and-excite of seven units, its accuracy after a
shortened training, and latencies on two FPGAs. Rows are split 80/10/10 at random, as the authors split theirs; each
seed splits anew. Trees are fitted where xgboost is installed, with early stopping on the second part. A unit has
3 x 2 x 4 x 2 configurations.

- additive: a number for each unit's configuration (ridge; its strength by the second part)
- ensemble: `ofa.predictors.fit`'s own, which reads the whole network, as it stands
- alike: a Gaussian process whose networks are alike by the choices that they have in common; width and noise likewise
- trees: xgboost on the 28 choices as numbers
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa.blocks.costs import block_params
from ofa.predictors.fit.ensemble_training import Recipe, train_members
from ofa.predictors.metrics import kendall_tau, rmse
from ofa.predictors.mlp import Ensemble
from ofa.space import get_space

Floats = NDArray[np.float64]
UNITS = 7
SPACE = Path(__file__).resolve().parents[2] / "examples" / "accel_nasbench.toml"
CHOICES = {"e": (1, 4, 6), "k": (3, 5), "l": (1, 2, 3, 4), "se": (0, 1)}
TARGETS = {"val_top1": "top-1, %", "latency_zcu102": "ZCU102, ms", "latency_vck190": "VCK190, ms"}
WIDTHS, NOISES = (0.3, 1.0, 3.0, 10.0), (1e-4, 1e-3, 1e-2, 1e-1)
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# far from the authors' 3,000 rounds of depth 13, which early stopping cuts anyway
TREES = {"eta": 0.03, "max_depth": 6, "subsample": 0.8, "colsample_bytree": 0.6, "min_child_weight": 4}


@dataclass(frozen=True)
class Networks:
    """choices: (N, 28) indices of the choices, unit by unit; targets: (N,) each"""

    choices: NDArray[np.int64]
    targets: dict[str, Floats]

    def one_hot(self) -> Floats:
        """(N, 77) a feature for each choice of each unit."""
        sizes = [len(values) for values in CHOICES.values()] * UNITS
        columns = [self.choices[:, [i]] == np.arange(size) for i, size in enumerate(sizes)]
        return np.concatenate(columns, axis=1).astype(np.float64)

    def configurations(self) -> Floats:
        """(N, 336) a feature for each configuration of each unit."""
        sizes = [len(values) for values in CHOICES.values()]
        of_units = self.choices.reshape(-1, UNITS, len(sizes))
        numbers = np.zeros(of_units.shape[:2], dtype=np.int64)
        for i, size in enumerate(sizes):
            numbers = numbers * size + of_units[:, :, i]
        return np.concatenate([numbers[:, [u]] == np.arange(np.prod(sizes)) for u in range(UNITS)], axis=1).astype(
            float
        )


def read(path: Path) -> Networks:
    """The published rows; ValueError for a choice that the space does not have, or other parameters than stated."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    choices = [
        [CHOICES[name].index(int(row[name].split()[u])) for u in range(UNITS) for name in CHOICES] for row in rows
    ]
    for row in rows:
        check_params(row)
    # not every network was measured everywhere
    targets = {name: np.array([float(row[name] or "nan") for row in rows]) for name in TARGETS}
    return Networks(np.array(choices), targets)


def check_params(row: dict[str, str]) -> None:
    """Its blocks have the parameters that the authors state: the space is understood."""
    if importlib.util.find_spec("ofa.published.coded") is None:
        return
    from ofa.published.coded import blocks_of_code

    blocks = blocks_of_code("mnasnet:" + "|".join(row[name] for name in CHOICES))
    if (found := sum(map(block_params, blocks))) != round(1e6 * float(row["params_m"])):
        raise ValueError(f"{row}: {found} parameters")


def split(count: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers to fit on, to choose by, to test on."""
    order = np.random.default_rng(seed).permutation(count)
    first, second = int(0.8 * count), int(0.9 * count)
    return order[:first], order[first:second], order[second:]


def additive(networks: Networks, y: Floats, parts: Sequence[NDArray[np.intp]], _: int) -> Floats:
    fit, choose, test = parts
    x, level = networks.configurations(), y[fit].mean()
    best: tuple[float, Floats] | None = None
    for strength in STRENGTHS:
        weights = np.linalg.solve(x[fit].T @ x[fit] + strength * np.eye(x.shape[1]), x[fit].T @ (y[fit] - level))
        error = rmse(x[choose] @ weights + level, y[choose])
        if best is None or error < best[0]:
            best = error, x[test] @ weights + level
    assert best is not None
    return best[1]


def ensemble(networks: Networks, y: Floats, parts: Sequence[NDArray[np.intp]], seed: int) -> Floats:
    fit, _, test = parts
    x, level = networks.one_hot().astype(np.float32), y[fit].mean()
    members = train_members(x[fit], y[fit] - level, np.zeros(len(fit), dtype=np.intp), Recipe(seed=seed))
    found: Floats = Ensemble(members)(x[test]).mean(axis=0).astype(np.float64) + level
    return found


def alike(networks: Networks, y: Floats, parts: Sequence[NDArray[np.intp]], _: int) -> Floats:
    fit, choose, test = parts
    x, level = networks.one_hot() / np.sqrt(networks.choices.shape[1]), y[fit].mean()
    common = x @ x[fit].T  # (N, fitted) share of choices in common
    best: tuple[float, Floats] | None = None
    for width in WIDTHS:
        kernel = np.exp((common - 1) / width)
        for noise in NOISES:
            weights = np.linalg.solve(kernel[fit] + noise * np.eye(len(fit)), y[fit] - level)
            error = rmse(kernel[choose] @ weights + level, y[choose])
            if best is None or error < best[0]:
                best = error, kernel[test] @ weights + level
    assert best is not None
    return best[1]


def trees(networks: Networks, y: Floats, parts: Sequence[NDArray[np.intp]], seed: int) -> Floats:
    import xgboost

    fit, choose, test = (xgboost.DMatrix(networks.choices[part], label=y[part]) for part in parts)
    asked = {**TREES, "objective": "reg:squarederror", "seed": seed, "nthread": 1}
    model = xgboost.train(asked, fit, 3000, [(choose, "val")], early_stopping_rounds=100, verbose_eval=False)
    found: Floats = model.predict(test, iteration_range=(0, model.best_iteration + 1)).astype(np.float64)
    return found


WAYS: dict[str, Callable[[Networks, Floats, Sequence[NDArray[np.intp]], int], Floats]] = {
    "additive": additive,
    "ensemble": ensemble,
    "alike": alike,
    "trees": trees,
}


def write_accuracies(networks: Networks, path: Path) -> int:
    """As networks of the example's space, as `ofa fit` reads them; how many."""
    space = get_space(str(SPACE))
    lines = ["resolution,depths,kernel_sizes,expand_ratios,squeeze_excites,top1"]
    for row, top1 in zip(networks.choices, networks.targets["val_top1"], strict=True):
        of_units = [dict(zip(CHOICES, unit, strict=True)) for unit in row.reshape(UNITS, len(CHOICES)).tolist()]
        depths = [CHOICES["l"][unit["l"]] for unit in of_units]
        layers = [(of_units[u], j < depths[u]) for u, j in space.layers]
        k, e, se = ([CHOICES[name][unit[name]] if there else 0 for unit, there in layers] for name in ("k", "e", "se"))
        subnet = space.subnet(k, e, depths, 224, squeeze_excites=se)
        cells = (subnet.depths, subnet.kernel_sizes, subnet.expand_ratios, subnet.squeeze_excites)
        lines.append(",".join(["224", *(" ".join(map(str, cell)) for cell in cells), f"{top1:.3f}"]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines) - 1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--accuracies", type=Path, help="instead: write the networks of examples/accel_nasbench.toml")
    arguments = parser.parse_args(argv)
    networks = read(arguments.file)
    if arguments.accuracies is not None:
        print(f"wrote {arguments.accuracies}: {write_accuracies(networks, arguments.accuracies)} networks")
        return 0
    ways = [way for way in WAYS if way != "trees" or importlib.util.find_spec("xgboost") is not None]
    print("| predicted | by | seed | MAE | RMSE | R2 | Kendall's tau |\n|---|---|---|---|---|---|---|")
    for name, words in TARGETS.items():
        there = ~np.isnan(networks.targets[name])
        y, known = networks.targets[name][there], Networks(networks.choices[there], {})
        for way in ways:
            for seed in arguments.seeds:
                parts = split(len(y), seed)
                actual = y[parts[2]]
                found = WAYS[way](known, y, parts, seed)
                r2 = 1 - np.square(found - actual).sum() / np.square(actual - actual.mean()).sum()
                mae = np.abs(found - actual).mean()
                figures = f"{mae:.3f} | {rmse(found, actual):.3f} | {r2:.3f} | {kendall_tau(found, actual):.3f}"
                print(f"| {words} | {way} | {seed} | {figures} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
