"""What a command line asks for is a value: the same as in Python, and nothing below takes anything else."""

import ast
from pathlib import Path

import pytest

from ofa.tables import LatencyTable
from profilers import android, compare, cpu, gpu, linux, regenerate, transfer, validate
from profilers.changes.regeneration import RegenerateOptions
from profilers.compare import CompareOptions
from profilers.cpu import CpuOptions, profile_cpu
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.estimating.transfer_options import TransferOptions
from profilers.gpu import GpuOptions
from profilers.linux import LinuxOptions
from profilers.profiling.arguments import options_of
from profilers.profiling.profile_options import ProfileOptions
from profilers.validate import ValidateOptions

ROOT = Path(__file__).resolve().parents[3]
OUT = Path("x.csv")


def test_the_defaults_of_the_command_line_are_those_of_the_values() -> None:
    given = ["--out", "x.csv"]
    assert cpu.options(given) == CpuOptions(out=OUT)
    assert gpu.options(given) == GpuOptions(out=OUT)
    assert linux.options([*given, "--host", "pi"]) == LinuxOptions(out=OUT, host="pi")
    assert android.table_options(given) == (PhoneOptions(), ProfileOptions(out=OUT))
    assert options_of(ValidateOptions, validate.parser().parse_args(["--table", "t"])) == ValidateOptions(table="t")
    assert options_of(CompareOptions, compare.parser().parse_args(["a", "b"])) == CompareOptions(old="a", new="b")
    asked = regenerate.parser().parse_args(["--config", "c", "--out", "o"])
    assert options_of(RegenerateOptions, asked) == RegenerateOptions(config=Path("c"), out=Path("o"))
    asked = transfer.parser().parse_args([*given, "--space", "mbv3-w1.0"])
    assert options_of(TransferOptions, asked, spaces=tuple(asked.spaces)) == TransferOptions(out=OUT)


def test_every_option_arrives() -> None:
    many = "--runtime tflite --threads 2 --cpu 0,1 --space mbv3-w0.35 --num-classes 10 --resolutions 64,96 --quick"
    more = "--batch-size 4 --rounds 7 --energy --limit 5 --seed 3 --timeout 9 --name N --out x.csv --resume"
    asked = cpu.options([*many.split(), *more.split()])
    assert asked == CpuOptions(
        runtime="tflite", threads=2, cpu="0,1", space="mbv3-w0.35", num_classes=10, resolutions=(64, 96), batch_size=4,
        rounds=7, quick=True, energy=True, limit=5, seed=3, timeout=9.0, name="N", out=OUT, resume=True,
    )  # fmt: skip


@pytest.mark.parametrize("task", ["--list", "--dry-run", "--clean"])
def test_what_a_phone_is_asked_beside_a_table_is_no_table(task: str) -> None:
    assert android.table_options([task]) is None


def test_a_profile_from_python_is_that_of_the_command_line(tmp_path: Path) -> None:
    made = tmp_path / "t.csv"
    options = CpuOptions(out=made, space="mbv3-w0.35", resolutions=(64,), quick=True, rounds=1, limit=4)
    assert profile_cpu(options, "a script") == 0
    arguments = ["--space", "mbv3-w0.35", "--resolutions", "64", "--quick", "--rounds", "1", "--limit", "4", "--out"]
    assert cpu.main([*arguments, str(tmp_path / "u.csv")]) == 0
    table, other = LatencyTable.load(made), LatencyTable.load(tmp_path / "u.csv")
    assert table.header["source"] == "a script"
    assert [row.block for row in table.rows] == [row.block for row in other.rows]
    assert table.header.keys() == other.header.keys()


def test_nothing_below_the_edge_takes_what_argparse_made() -> None:
    takes = []
    for package in ("profilers", "latency_tables"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    kinds = [argument.annotation for argument in (*node.args.args, *node.args.kwonlyargs)]
                    if any(kind is not None and "Namespace" in ast.unparse(kind) for kind in kinds):
                        takes.append(node.name)
    assert takes == ["options_of"]
