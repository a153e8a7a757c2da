"""Settings as files: recipes of trainings, tables.toml, descriptions of spaces."""

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


SPACE_FILE = "space.toml"
EXAMPLE = Path(__file__).parents[3] / "examples/mobilenet_v2.toml"


def make_space(folder: Path) -> None:
    (folder / SPACE_FILE).write_bytes(EXAMPLE.read_bytes())


def read_space(path: Path) -> None:
    """What is read can be built, written and read again."""
    from ofa.blocks import slots_of
    from ofa.blocks.costs import count_macs
    from ofa.space.described import described_space
    from ofa.space.described import read_space as read
    from ofa.space.description import describe

    space = read(path, 10)
    assert space.name.isprintable() and "/" not in space.name and len(space.name) <= 60
    assert all(block is None or block.in_size == 1 for slot in slots_of(space) for block in slot.blocks)
    assert count_macs(space, space.sample(np.random.default_rng(0), 2, resolutions=[64])).min() > 0
    assert described_space(describe(space), path, 10) == space


FORMATS: Mapping[str, Format] = {
    "recipe": Format("recipe.json", make_recipe, read_recipe),
    "tables-toml": Format("tables.toml", make_tables_toml, read_tables_toml),
    "space-toml": Format(SPACE_FILE, make_space, read_space),
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
    "space-toml": {
        "gone": without(SPACE_FILE),
        "empty": put(SPACE_FILE, ""),
        "deep": put(SPACE_FILE, "a = " + "[" * 5000),
        "digits": swap(SPACE_FILE, "channels = 32", "channels = " + DIGITS),
        "not-utf-8": put(SPACE_FILE, b'name = "\xff"'),
        "name-path": swap(SPACE_FILE, '"mobilenet_v2"', '"../../x"'),
        "name-escape": swap(SPACE_FILE, '"mobilenet_v2"', '"a\\u001b[31m"'),
        "name-long": swap(SPACE_FILE, '"mobilenet_v2"', '"' + "a" * 3000 + '"'),
        "name-ours": swap(SPACE_FILE, '"mobilenet_v2"', '"mbv3-w1.0"'),
        "name-number": swap(SPACE_FILE, '"mobilenet_v2"', "5"),
        "units-number": put(SPACE_FILE, 'name = "a"\nunits = 5\n[stem]\nchannels = 8\nactivation = "relu"\n'),
        "units-numbers": put(SPACE_FILE, 'name = "a"\nunits = [1, 2]\n[stem]\nchannels = 8\nactivation = "relu"\n'),
        "units-none": put(SPACE_FILE, 'name = "a"\nunits = []\n[stem]\nchannels = 8\nactivation = "relu"\n'),
        "stem-list": swap(SPACE_FILE, "[stem]", "[[stem]]"),
        "channels-huge": swap(SPACE_FILE, "channels = 160", "channels = 1000000"),
        "channels-true": swap(SPACE_FILE, "channels = 160", "channels = true"),
        "channels-half": swap(SPACE_FILE, "channels = 160", "channels = 16.5"),
        "channels-list": swap(SPACE_FILE, "channels = 160", "channels = [160, 320]"),
        "channels-zero": swap(SPACE_FILE, "channels = 160", "channels = 0"),
        "stride-3": swap(SPACE_FILE, "stride = 2", "stride = 3"),
        "stride-true": swap(SPACE_FILE, "stride = 1", "stride = true"),
        "activation": swap(SPACE_FILE, '"relu6"', '"gelu"'),
        "activation-list": swap(SPACE_FILE, '"relu6"', '["relu6"]'),
        "kernel-4": swap(SPACE_FILE, "kernel_sizes = [3]", "kernel_sizes = [3, 4]"),
        "kernel-twice": swap(SPACE_FILE, "kernel_sizes = [3]", "kernel_sizes = [3, 3]"),
        "kernel-none": swap(SPACE_FILE, "kernel_sizes = [3]", "kernel_sizes = []"),
        "ratios-300": swap(SPACE_FILE, "[3, 4, 6]", str([i / 32 for i in range(32, 332)])),
        "ratios-infinite": swap(SPACE_FILE, "[3, 4, 6]", "[3, inf]"),
        "ratios-nan": swap(SPACE_FILE, "[3, 4, 6]", "[nan]"),
        "ratios-text": swap(SPACE_FILE, "[3, 4, 6]", '["3"]'),
        "depths-0": swap(SPACE_FILE, "depths = [1, 2]", "depths = [0, 2]"),
        "depths-1000": swap(SPACE_FILE, "depths = [1, 2]", "depths = [1000]"),
        "configurations": swap(SPACE_FILE, "depths = [1, 2]", "depths = [1, 20]"),
        "divisor": swap(SPACE_FILE, "[stem]", "channel_divisor = 0\n[stem]"),
        "widths-none": swap(SPACE_FILE, "[stem]", "widths = []\n[stem]"),
        "widths-elastic": swap(SPACE_FILE, "[stem]", "widths = [0.5, 1.0]\n[stem]"),
        "widths-text": swap(SPACE_FILE, "[stem]", 'widths = "1"\n[stem]'),
        "epsilon": swap(SPACE_FILE, "1e-5", "0"),
        "resolution-31": swap(SPACE_FILE, "[stem]", "resolutions = [31]\n[stem]"),
        "resolution-halved": swap(SPACE_FILE, "stride = 1\ndepths = [1]", "stride = 2\ndepths = [1]\n[x]"),
        "skip": swap(SPACE_FILE, "channels = 16", "channels = 16\nskip = true"),
        "operator": swap(SPACE_FILE, "stride = 2", 'stride = 2\noperator = "../x"'),
        "operator-list": swap(SPACE_FILE, "stride = 2", 'stride = 2\noperator = ["mbconv"]'),
        "squeeze": swap(SPACE_FILE, "stride = 2", 'stride = 2\noperator = "bottleneck"\nsqueeze_excite = true'),
        "unknown": swap(SPACE_FILE, "stride = 2", "strides = 2"),
        "unknown-escape": swap(SPACE_FILE, "stride = 2", '"a\\u001b' + "x" * 3000 + '" = 2'),
        "table": put(SPACE_FILE, "op,latency_ms\n"),
    },
}

JSON = {
    "recipe": "recipe.json",
}
