"""`python -m ofa.predictors.compare --curve`: error by the number of rows trained on."""

import csv
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ofa.predictors import compare, study
from ofa.predictors.fit.ensemble_training import Recipe
from ofa.space import get_space


def test_more_rows_bring_less_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = get_space("mbv3-w0.35", 10)
    rng = np.random.default_rng(0)
    genes = space.sample(rng, 500, resolutions=(48, 96))
    choices = np.column_stack([genes[:, 0] == 96, genes[:, 1:]])
    top1 = 50 + choices @ rng.uniform(0, 0.5, space.num_genes)  # no noise: all that is lacking is rows
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["resolution", "depths", "kernel_sizes", "expand_ratios", "top1"])
        for subnet, figure in zip(space.decode(genes), top1, strict=True):
            lists = [" ".join(map(str, v)) for v in (subnet.depths, subnet.kernel_sizes, subnet.expand_ratios)]
            writer.writerow([subnet.resolution, *lists, figure])
    monkeypatch.setattr(compare, "Recipe", partial(Recipe, members=1, epochs=40, hidden=(16,)))
    assert compare.main(["--data", str(tmp_path / "a.csv"), "--space", "mbv3-w0.35", "--curve"]) == 0
    lines = re.findall(r"(\d+) rows: ([\d.]+) \(([\d.]+)-([\d.]+)\) \| ([\d.]+)", capsys.readouterr().out)
    assert [int(line[0]) for line in lines[:-1]] == [50, 100, 200, 400]
    errors, taus = ([float(line[i]) for line in lines] for i in (1, 4))
    assert errors[0] > 1.5 * errors[-1]
    assert taus[0] < taus[-1]
    assert all(float(low) <= error <= float(high) for error, (_, _, low, high, _) in zip(errors, lines, strict=True))


def test_sizes_double_up_to_all_rows() -> None:
    assert compare.sizes(230) == [50, 100, 200, 230]
    assert compare.sizes(50) == [50]


def test_the_former_name_answers_and_tells_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        study.main(["--help"])
    out, err = capsys.readouterr()
    assert left.value.code == 0 and "ofa.predictors.compare" in out
    assert err == "warning: ofa.predictors.study is now called ofa.predictors.compare\n"
