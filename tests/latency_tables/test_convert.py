"""Imports of latencies that others published."""

import json
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from latency_tables.convert import COMMAND, main
from latency_tables.published_blocks import parse_key
from ofa.blocks import Block
from ofa.errors import InputError
from ofa.tables import LatencyTable, find_table
from ofa.tables.shipped import shipped_folder

KEY = "expanded_conv-input:10x10x136-output:10x10x136-expand:408-kernel:3-stride:1-idskip:1-se:1-hs:1"


def arguments(out: Path, *files: Path, style: str = "mit", space: str = "mbv3-w1.2") -> list[str]:
    given = [*map(str, files), "--format", style, "--space", space, "--device", "D", "--source", "S"]
    return [*given, "--out", str(out)]


@pytest.mark.parametrize(
    ("key", "v3", "block"),
    [
        (KEY, True, Block("mbconv", 10, 136, 408, 136, 3, 1, "h_swish", True, True)),
        (
            "expanded_conv-input:32x32x30-output:16x16x40-expand:4-kernel:5-stride:2-idskip:0:",
            False,
            Block("mbconv", 32, 30, 120, 40, 5, 2, "relu6", False, False),
        ),
        (
            "MBConv-input:26x26x40-output:26x26x40-expand:4-kernel:3-stride:1-idskip:1-se:1:",
            True,
            Block("mbconv", 26, 40, 160, 40, 3, 1, "h_swish", True, True),
        ),
        ("Conv-input:224x224x3-output:112x112x24:", True, Block("conv", 224, 3, 0, 24, 3, 2, "h_swish", False, False)),
        ("Conv-input:128x128x3-output:64x64x30:", False, Block("conv", 128, 3, 0, 30, 3, 2, "relu6", False, False)),
        ("Conv_1-input:7x7x192-output:7x7x1152:", True, Block("conv", 7, 192, 0, 1152, 1, 1, "h_swish", False, False)),
        (
            "AvgPool2D-input:7x7x1152-output:1x1x1152:",
            True,
            Block("global_pool", 7, 1152, 0, 1152, 1, 1, "none", False, False),
        ),
        (
            "Conv_2-input:1x1x1152-output:1x1x1536:",
            True,
            Block("feature_mix", 1, 1152, 0, 1536, 1, 1, "h_swish", False, False),
        ),
        ("classifier-input:1280-output:1000:", True, Block("linear", 1, 1280, 0, 1000, 1, 1, "none", False, False)),
        # pools first: two blocks of ours, measured as one
        ("Logits-input:7x7x1280-output:1000:", False, Block("linear", 1, 1280, 0, 1000, 1, 1, "none", False, False)),
    ],
)
def test_published_keys(key: str, v3: bool, block: Block | None) -> None:
    assert parse_key(key, v3=v3) == block


@pytest.mark.parametrize(
    "key", ["", "Conv", KEY + "-x:1", KEY.replace("10x10x136", "10x11x136", 1), "VGG-input:1-output:1"]
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(InputError, match="is not"):
        parse_key(key, v3=True)


def test_runs_of_several_files_are_pooled(tmp_path: Path) -> None:
    for name, mean, std, count in (("a", 1.0, 0.0, 100), ("b", 4.0, 1.0, 300)):
        entry = {KEY: {"mean": mean, "std": std, "count": count}}
        (tmp_path / f"{name}.json").write_text(json.dumps(entry))
    assert main(arguments(tmp_path / "t.csv", tmp_path / "a.json", tmp_path / "b.json")) == 0
    (row,) = LatencyTable.load(tmp_path / "t.csv").rows
    # mean (100 * 1 + 300 * 4) / 400; variance (300 * (1 + 16) + 100 * 1) / 400 - 3.25^2 = 2.4375
    assert (row.latency_ms, row.runs) == (3.25, 400)
    assert row.std_ms == pytest.approx(2.4375**0.5, rel=1e-3)


# by their header's line: to read forty tables takes each worker a second before its first test
IMPORTED = [
    path for path in sorted(shipped_folder().glob("*.csv")) if "\n# provenance: imported\n" in path.read_text("utf-8")
]
load = cache(LatencyTable.load)


def test_the_imported_tables_are_found() -> None:
    assert {"note10", "i7-8700k"} <= {path.stem for path in IMPORTED}


@pytest.mark.parametrize("path", IMPORTED, ids=lambda path: path.stem)
def test_every_imported_table_records_the_command_that_makes_it(path: Path) -> None:
    table = load(path)
    assert table.provenance == "imported"
    words = shlex.split(table.header["command"])
    assert words[:3] == ["python", "-m", "latency_tables.convert"]
    assert words[-2:] == ["--out", f"latency_tables/{path.name}"]
    header, config = table.header, COMMAND.parse(words[3:])
    assert (config.device, config.source) == (header["device"], header["source"])


@pytest.mark.parametrize("path", IMPORTED, ids=lambda path: path.stem)
def test_an_imported_table_is_what_its_command_makes(
    path: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load(path)
    words = shlex.split(shipped.header["command"])
    monkeypatch.chdir(reference / "tables")
    assert main([*words[3:-1], str(tmp_path / "made.csv")]) == 0
    made = LatencyTable.load(tmp_path / "made.csv")
    assert sorted(made.rows, key=lambda row: row.block) == sorted(shipped.rows, key=lambda row: row.block)
    # the i7's table is offered for one of its spaces alone: it is complete there
    of_another_run = {"when", "tool", "command", "space", "space_sha256"}
    assert {k: v for k, v in made.header.items() if k not in of_another_run} == {
        k: v for k, v in shipped.header.items() if k not in of_another_run
    }


def test_other_published_tables_are_read_too(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixel1 = reference / "tables" / "pixel1_proxylessnas_mobile_trim.yaml"
    with pytest.raises(InputError, match=r"none of the 72 blocks is of mbv3-w1\.2: they are of proxyless-w1\.0"):
        main(arguments(tmp_path / "pixel1.csv", pixel1))
    main(arguments(tmp_path / "pixel1.csv", pixel1, space="proxyless-w1.0"))
    table = LatencyTable.load(tmp_path / "pixel1.csv")
    assert len(table.rows) == 72
    assert table.omits == ("global_pool",)  # the classifier's row holds it
    assert table.header["dtype"] == "not stated by the source"
    assert "batch" not in table.header
    assert re.search(r"[0-9]+ of 72 blocks are of proxyless-w1.0, ", capsys.readouterr().out)
    with pytest.raises(InputError, match=r"none of the 658 blocks is of mbv3-w1\.2: no width of mbv3 or proxyless"):
        main(arguments(tmp_path / "dpu.csv", *sorted((reference / "tables" / "vitis-dpu").glob("*.yaml"))))
    assert not (tmp_path / "dpu.csv").exists()


def test_every_published_block_of_the_dpu_is_of_its_example(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = str(Path(__file__).parents[2] / "examples/vitis_dpu.toml")
    files = sorted((reference / "tables" / "vitis-dpu").glob("*.yaml"))
    main(arguments(tmp_path / "dpu.csv", *files, space=space))
    assert f"658 of 658 blocks are of {space}, complete at 25 resolutions" in capsys.readouterr().out
    table = LatencyTable.load(tmp_path / "dpu.csv")
    assert (table.spaces, table.space().stem.channels) == (("vitis_dpu",), (30,))


def test_rows_of_another_device_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note10 = LatencyTable.load(find_table("note10"))
    keys = {
        f"expanded_conv-input:{b.in_size}x{b.in_size}x{b.in_channels}-output:{b.out_size}x{b.out_size}x{b.out_channels}"
        f"-expand:{b.mid_channels}-kernel:{b.kernel_size}-stride:{b.stride}-idskip:{int(b.skip)}"
        f"-se:{int(b.squeeze_excite)}-hs:{int(b.activation == 'h_swish')}": row.latency_ms
        for row in note10.rows
        if (b := row.block).op == "mbconv"
    }
    copied = {key: {"mean": ms if i < 6 else 2 * ms, "std": 0.1} for i, (key, ms) in enumerate(keys.items())}
    (tmp_path / "t.json").write_text(json.dumps(copied))
    assert main(arguments(tmp_path / "t.csv", tmp_path / "t.json")) == 0
    assert "6 latencies are those of the shipped table note10, to the digit" in capsys.readouterr().out


def test_pooling_that_is_measured_with_the_classifier_is_kept_once(tmp_path: Path) -> None:
    fused = {"Logits-input:7x7x1536-output:1000:": {"mean": 3.0, "std": 0.1}, KEY: {"mean": 1.0, "std": 0.1}}
    pooling = {"AvgPool2D-input:7x7x1152-output:1x1x1152:": {"mean": 0.5, "std": 0.1}}
    for name, entries, omits, blocks in (("a", fused, ("global_pool",), 2), ("b", fused | pooling, (), 2)):
        (tmp_path / f"{name}.json").write_text(json.dumps(entries))
        assert main(arguments(tmp_path / f"{name}.csv", tmp_path / f"{name}.json")) == 0
        table = LatencyTable.load(tmp_path / f"{name}.csv")
        assert (table.omits, len(table.rows)) == (omits, blocks)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.json", "{", r"t.json: not JSON: .* line 1 column 2"),
        ("t.yaml", "a: [", "t.yaml: not YAML"),
        ("t.yaml", "!!python/object/apply:os.system [false]", "t.yaml: not YAML"),
        ("t.json", "[]", "not a mapping"),
        ("t.json", json.dumps({KEY: {"mean": 1.0}}), "is not a mean and std"),
        ("t.json", json.dumps({KEY: {"mean": -1.0, "std": 0.1}}), "mean is -1"),
        ("t.json", json.dumps({"nonsense": {"mean": 1.0, "std": 0.1}}), "key 'nonsense' is not understood"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        main(arguments(tmp_path / "out.csv", tmp_path / name))
    assert not (tmp_path / "out.csv").exists()
