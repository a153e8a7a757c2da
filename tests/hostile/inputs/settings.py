"""Settings as files: recipes of trainings, tables.toml."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..edits import DIGITS, Edit, at, put, swap, without
from ..format import Format
from ..sound import SPACE


def make_recipe(folder: Path) -> None:
    stages = [{"name": "a", "epochs": 2, "learning_rate": 0.1}, {"name": "b", "epochs": 3, "learning_rate": 0.1}]
    (folder / "recipe.json").write_text(json.dumps(stages))


def read_recipe(path: Path) -> None:
    from ofa.training.recipe import read_stages

    for stage in read_stages(path):
        assert 1 <= stage.epochs <= 10**6
        assert 0 < stage.learning_rate <= 1e6
        stage.draw(SPACE, np.random.default_rng(0), 2, [64])


def make_tables_toml(folder: Path) -> None:
    args = '["--space", "mbv3-w0.35", "--resolutions", "64"]'
    (folder / "tables.toml").write_text(f'[[table]]\nfile = "a.csv"\nprofiler = "cpu"\nargs = {args}\n')


def read_tables_toml(path: Path) -> None:
    from profilers.changes.tables_config import load_config
    from profilers.regenerate import PROFILERS

    for entry in load_config(path, PROFILERS):
        assert Path(entry.file).name == entry.file


FORMATS: Mapping[str, Format] = {
    "recipe": Format("recipe.json", make_recipe, read_recipe),
    "tables-toml": Format("tables.toml", make_tables_toml, read_tables_toml),
}

REFUSED: Mapping[str, Mapping[str, Edit]] = {
    "recipe": {
        "gone": without("recipe.json"),
        "no-stages": put("recipe.json", "[]"),
        "name-list": at("recipe.json", 0, "name", value=["a"] * 900),
        "name-path": at("recipe.json", 0, "name", value="../" * 300),
        "name-twice": at("recipe.json", 1, "name", value="a"),
        "unknown": at("recipe.json", 0, "x\x1b" * 900, value=1),
        "epochs-text": at("recipe.json", 0, "epochs", value="2" * 900),
        "epochs-1e39": at("recipe.json", 0, "epochs", value=10**39),
        "epochs-half": at("recipe.json", 0, "epochs", value=1.5),
        "epochs-true": at("recipe.json", 0, "epochs", value=True),
        "rate-1e300": at("recipe.json", 0, "learning_rate", value=1e300),
        "rate-huge": at("recipe.json", 0, "learning_rate", value=10**39),
        "subnets-1e9": at("recipe.json", 0, "subnets", value=10**9),
        "distill-huge": at("recipe.json", 0, "distill", value=1e300),
        "teacher-list": at("recipe.json", 0, "teacher", value=["first"] * 900),
        "sandwich-text": at("recipe.json", 0, "sandwich", value="yes" * 900),
    },
    "tables-toml": {
        "empty": put("tables.toml", ""),
        "deep": put("tables.toml", "a = " + "[" * 5000),
        "digits": put("tables.toml", "a = " + DIGITS),
        "not-utf-8": put("tables.toml", b'a = "\xff"'),
        "table": put("tables.toml", "[table]\na = 1\n"),
        "file-path": swap("tables.toml", "a.csv", "../a.csv"),
        "file-number": swap("tables.toml", '"a.csv"', "5"),
        "args-text": swap("tables.toml", '["--space"', '["--spade"'),
        "args-numbers": swap("tables.toml", '["--space", "mbv3-w0.35"', "[1, 2"),
        "args-help": swap("tables.toml", '"64"]', '"64", "--help"]'),
        "file-1000": swap("tables.toml", "a.csv", "a" * 1000 + ".csv"),
        "file-long": swap("tables.toml", "a.csv", "a\\u001b" * 900),
        "profiler-list": swap("tables.toml", '"cpu"', '["cpu"]'),
        "profiler-long": swap("tables.toml", '"cpu"', '"' + "x\\u001b" * 900 + '"'),
        "args-many": swap("tables.toml", '"64"]', '"64", ' + ", ".join(['"x"'] * 5000) + "]"),
        "args-space": swap("tables.toml", "mbv3-w0.35", "mbv3-" + "w" * 3000),
        "args-resolution": swap("tables.toml", '"64"', '"1_0"'),
        "key-more": swap("tables.toml", "profiler", "x = 1\nprofiler"),
    },
}

JSON = {
    "recipe": "recipe.json",
}
