"""What a command line asks for is a value, as in Python; and a run's identity is of every field that counts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.blocks import all_blocks
from ofa.cli.command import docs_of
from ofa.cli.config import Free, fields_of
from ofa.errors import InputError, UsageError
from ofa.runs.journal import Journal
from ofa.space import RESOLUTIONS, get_space
from ofa.tables import LatencyTable, TableRow
from profilers import android, compare, cpu, gpu, linux, regenerate, transfer, validate
from profilers.android import AndroidConfig
from profilers.changes.regenerate_config import RegenerateConfig
from profilers.compare import CompareTablesConfig
from profilers.cpu import CpuConfig, profile_cpu
from profilers.devices.local_cpu import cpu_target
from profilers.devices.nvidia import PACE
from profilers.estimating.cost_model import LEAST_FOR_TERMS
from profilers.estimating.measured import _journal as transfer_journal
from profilers.estimating.measured import networks_file
from profilers.estimating.transfer_config import TransferConfig
from profilers.gpu import GpuConfig
from profilers.linux import LinuxConfig
from profilers.measuring.models import FORM, RUNTIMES
from profilers.measuring.pace import CPU_PACE, ENERGY_SECONDS, PHONE_PACE
from profilers.profiling.command_words import command_line, replaced
from profilers.profiling.profile import asked_of, identity
from profilers.profiling.profile import open_journal as profile_journal
from profilers.profiling.profile_options import MeasureOptions, ProfileOptions
from profilers.profiling.work import planned
from profilers.validate import open_journal
from profilers.whole_networks.choosing import Chosen
from profilers.whole_networks.validate_config import ValidateConfig
from tests.helpers.machines import Kind, plant_machine

OUT = Path("x.csv")


@pytest.mark.parametrize("name", ["a\u00a0b", " a  b\n", "a\u2003b"])
def test_a_devices_name_can_be_written_before_anything_is_measured(name: str, tmp_path: Path) -> None:
    """Spaces of any kind were believed until the table was written, and then lost it."""
    words = ["--out", str(tmp_path / "x\u00a0\x1b.csv"), "--name", name]
    options = cpu.COMMAND.parse(["--out", str(tmp_path / "x\u00a0.csv"), "--name", name])
    assert options.name == "a b"
    source = command_line("profilers.cpu", [*words, "\udcff"])
    assert source.isprintable()
    header = {"device": options.name, "source": source, "runtime": "r", "provenance": "measured", "space": "mbv3-w0.35"}
    rows = [TableRow(block, 1.0) for block in all_blocks(get_space("mbv3-w0.35"), [64])]
    LatencyTable(header, rows).save(tmp_path / "y.csv")
    assert LatencyTable.load(tmp_path / "y.csv").header["source"] == source


@pytest.mark.parametrize("name", ["", " ", "\x1b[31m", "a\x00", "\udcff", "\u202eb"])
def test_a_name_that_cannot_be_printed_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^--name is .*, expected a name that can be printed"):
        cpu.COMMAND.parse(["--out", "x.csv", "--name", name])


def test_the_defaults_of_the_command_line_are_those_of_the_values() -> None:
    given = ["--out", "x.csv"]
    assert cpu.COMMAND.parse(given) == CpuConfig(out=OUT)
    assert gpu.COMMAND.parse(given) == GpuConfig(out=OUT)
    assert linux.COMMAND.parse([*given, "--host", "pi"]) == LinuxConfig(out=OUT, host="pi")
    assert android.COMMAND.parse(given) == AndroidConfig(out=OUT)
    assert validate.COMMAND.parse(["--table", "t"]) == ValidateConfig(table="t")
    assert compare.COMMAND.parse(["a", "b"]) == CompareTablesConfig(old="a", new="b")
    assert regenerate.COMMAND.parse(["--config", "c", "--out", "o"]) == RegenerateConfig(
        config=Path("c"), out=Path("o")
    )
    assert transfer.COMMAND.parse([*given, "--suggest", "3"]) == TransferConfig(out=OUT, suggest=3)


def test_every_option_arrives() -> None:
    many = "--runtime tflite --threads 2 --cpu 1,0 --space mbv3-w0.35 --num-classes 10 --resolutions 64,96 --quick"
    more = "--batch-size 4 --rounds 7 --energy --limit 5 --seed 3 --timeout 9 --name N --out x.csv --resume"
    assert cpu.COMMAND.parse([*many.split(), *more.split()]) == CpuConfig(
        runtime="tflite", threads=2, cpu=(0, 1), space="mbv3-w0.35", num_classes=10, resolutions=(64, 96), batch_size=4,
        rounds=7, quick=True, energy=True, limit=5, seed=3, timeout=9.0, name="N", out=OUT, resume=True,
    )  # fmt: skip
    spaces = ["--space", "mbv3-w1.0", "--space", "mbv3-w1.2"]
    asked = transfer.COMMAND.parse(["--networks", "n.csv", "--from", "note10", *spaces, "--out", "x.csv"])
    assert (asked.from_, asked.space) == ("note10", ("mbv3-w1.0", "mbv3-w1.2"))
    assert asked.resolutions is None, f"which stands for all, {RESOLUTIONS}"


def test_a_phone_s_options_are_those_of_its_table() -> None:
    words = "--serial S --quick --limit 5 --seed 3 --energy --timeout 9 --name N --resolutions 64 --out x.csv --resume"
    config = android.COMMAND.parse(words.split())
    assert config.profile_options() == ProfileOptions(
        quick=True, limit=5, seed=3, energy=True, timeout=9.0, name="N", resolutions=(64,), out=OUT, resume=True
    )
    assert config.is_for_a_table and config.is_for_one_table and config.only_serial == "S"
    for words in ("--serial S --serial T --out x.csv", "--serial all --out x.csv"):
        several = android.COMMAND.parse(words.split())
        assert several.is_for_a_table and not several.is_for_one_table
    for task in ("--list", "--dry-run", "--clean"):
        assert not android.COMMAND.parse([task]).is_for_a_table


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (android, "", "--out is needed"),
        (android, "--list --clean", "--clean is not allowed with --list"),
        (android, "--out t.txt", "--out is t.txt, expected a file that ends in .csv"),
        (android, "--out x.csv --serial A --serial B --serial A", "--serial names 'A' twice"),
        (android, "--out x.csv --serial A --serial all", "--serial is all, and others are named too: leave one out"),
        (android, "--out x.csv --serial A --serial B --name N", "--name is for one phone: of several, each is called"),
        (android, "--out x.csv --threads 0", "--threads is 0, expected at least 1"),
        (android, "--out x.csv --delegate xnpack", "Did you mean .xnnpack.?"),
        (android, "--out x.csv --max-temperature nan", "--max-temperature is nan, expected a number from 20 to 150"),
        (cpu, "--out x.csv --resume --overwrite", "--overwrite is not allowed with --resume"),
        (cpu, "--out x.csv --timeout 0", "--timeout is 0.0, expected a number above 0"),
        (cpu, "--out x.csv --resolutions 64 --resolutions 96", "--resolutions is given twice"),
        (cpu, "--out x.csv --cpu 0-3", "--cpu: '0-3', expected numbers such as 3 or 2,3"),
        (cpu, "--out x.csv --resolution 64", "Unknown option: --resolution. Did you mean --resolutions?"),
        (linux, "--host pi --out x.csv --cpu x", "--cpu: 'x', expected numbers such as 3 or 2,3"),
        (linux, "--host pi --out x.csv --delegate gpu", "Invalid value .gpu. for --delegate"),
        (gpu, "--out x.csv --mode graphs", "Did you mean .graph.?"),
        (validate, "--table t --networks 3", "--networks is 3, expected at least 10"),
        (compare, "a", "NEW is needed"),
        (compare, "a b --alpha 1", "--alpha is 1.0, expected a number between 0 and 1"),
        (compare, "a b --effect -1", "--effect is -1.0, expected at least 0"),
        (transfer, "--out x.csv", "one of --networks, --suggest is needed"),
        (transfer, "--out x.csv --suggest 3 --networks n", "--suggest is not allowed with --networks"),
        (transfer, "--out x.csv --suggest 3 --serial S --host h", "--host is not allowed with --serial"),
        (transfer, "--out x.csv --serial S --networks n", "--serial and --host are for --suggest"),
        (transfer, "--out x.csv --suggest 3 --serial S --runtime torch", "--runtime is 'torch': phones and boards are"),
        (transfer, "--out x.csv --suggest 3 --cores big", "--cores is for measuring, by --suggest with --serial or"),
        (regenerate, "--config c --out o --overwrite --resume", "--overwrite is not allowed with --resume"),
    ],
)
def test_wrong_options_are_named_before_anything_is_done(command: Any, words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        command.COMMAND.parse(words.split())


def test_from_python_the_same_is_refused() -> None:
    with pytest.raises(UsageError, match="--mode is 'graphs', expected one of graph, eager, compile"):
        GpuConfig(out=OUT, mode="graphs")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--cpu is '0,1', expected a list of them"):
        CpuConfig(out=OUT, cpu="0,1")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--overwrite is not allowed with --resume"):
        ProfileOptions(out=OUT, resume=True, overwrite=True)


def test_the_help_s_figures_are_the_code_s() -> None:
    def words(pace: Any) -> str:
        return f"(default: {pace.rounds}, with --quick {pace.quick_rounds})"

    in_place, alone = CPU_PACE.in_place, CPU_PACE
    quick = f"with --quick {in_place.quick_rounds} in place, {alone.quick_rounds} alone"
    for config in (CpuConfig, AndroidConfig, LinuxConfig):
        assert f"(default: {alone.rounds}; {quick})" in docs_of(config)["rounds"] and in_place.rounds == alone.rounds
    assert (PHONE_PACE.in_place.rounds, PHONE_PACE.in_place.quick_rounds) == (in_place.rounds, in_place.quick_rounds)
    assert words(PACE) in docs_of(GpuConfig)["rounds"]
    assert f"{2 * ENERGY_SECONDS:g} s more for each block" in docs_of(MeasureOptions)["energy"]
    assert f"at least {LEAST_FOR_TERMS} networks" in docs_of(TransferConfig)["from_"]
    assert (RESOLUTIONS, "128:224:4" in docs_of(TransferConfig)["resolutions"]) == (tuple(range(128, 225, 4)), True)
    for config in (CpuConfig, TransferConfig):
        assert all(runtime in docs_of(config)["runtime"] for runtime in RUNTIMES)


# a value of every field that is not its default's; the runtime is another's to install
OTHERS: dict[str, Any] = {
    "space": "mbv3-w1.2", "num_classes": 10, "resolutions": (128,), "batch_size": 2, "rounds": 4, "quick": True,
    "limit": 7, "seed": 1, "energy": True, "threads": 2, "cpu": (0,), "runtime": "torch", "timeout": 9.0, "name": "N",
    "out": Path("y.csv"), "resume": True, "overwrite": True, "timing": "warm",
    "dtype": "int8",
}  # fmt: skip


@pytest.mark.parametrize("field", fields_of(CpuConfig), ids=lambda field: field.name)
def test_what_decides_a_profile_is_in_its_identity_and_what_is_free_is_not(
    monkeypatch: pytest.MonkeyPatch, field: Any
) -> None:
    monkeypatch.setattr("profilers.devices.local_cpu.check_runtime", lambda _: None)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})

    def settings(config: CpuConfig) -> dict[str, Any]:
        given = config.runtime, config.threads, config.batch_size, config.cpu, config.timeout
        target = cpu_target(*given, in_place=config.in_place, dtype=config.dtype)
        return identity(config, planned(config, target.pace, target.in_place), asked_of(config, target))

    plain = CpuConfig(out=OUT, space="mbv3-w1.0", resolutions=(160, 192))
    changed = replace(plain, **{field.name: OTHERS[field.name]})
    free = any(isinstance(mark, Free) for mark in field.marks)
    assert (settings(changed) == settings(plain)) == free


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"networks": 11}, "networks = 10, but this one has 11"),
        ({"seed": 1}, "seed = 0, but this one has 1"),
        ({"space": "mbv3-w0.35"}, 'begun without space, but this one has space = "mbv3-w0.35"'),
        ({"num_classes": 10}, "begun without num_classes, but this one has num_classes = 10"),
    ],
)
def test_a_validation_of_other_networks_is_not_gone_on_with(
    tmp_path: Path, change: dict[str, Any], difference: str
) -> None:
    header = {"device": "D", "runtime": "onnxruntime 1", "space": "mbv3-w0.35", "source": "test"}
    table = LatencyTable({**header, "provenance": "measured"}, [TableRow(all_blocks(get_space("mbv3-w0.35"))[0], 1.0)])
    config = ValidateConfig(table="t.csv", networks=10)
    chosen = Chosen(get_space("mbv3-w0.35"), np.zeros((10, 46), np.uint16), ())
    open_journal(config, tmp_path / "t.csv", table, chosen).close()
    again = replace(config, resume=True, timeout=9.0)
    open_journal(again, tmp_path / "t.csv", table, chosen).close()
    with pytest.raises(ValueError, match=difference):
        open_journal(replace(again, **change), tmp_path / "t.csv", table, chosen)
    others = replace(chosen, genes=chosen.genes + 1)
    with pytest.raises(InputError, match="with chosen = "):
        open_journal(again, tmp_path / "t.csv", table, others)


def test_a_profile_of_another_type_is_not_gone_on_with_and_the_option_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("profilers.devices.local_cpu.check_runtime", lambda _: None)
    options = CpuConfig(out=tmp_path / "t.csv", space="mbv3-w0.35", resolutions=(64,), timing="warm", resume=True)

    def opened(dtype: str, runtime: str = "openvino") -> None:
        monkeypatch.setattr("profilers.devices.local_cpu.check_computes", lambda _: None)
        target = cpu_target(runtime, 1, 1, None, 9.0, dtype=dtype)
        profile_journal(options, identity(options, planned(options), target)).close()

    for was, now in (("fp32", "int8"), ("int8", "bf16"), ("bf16", "fp32")):
        options.out.with_suffix(".journal.jsonl").unlink(missing_ok=True)
        opened(was)
        opened(was)
        with pytest.raises(
            InputError, match=f"was begun with --dtype {was}, this one has --dtype {now}: continue with"
        ):
            opened(now)


def test_a_profile_of_models_that_an_older_version_wrote_is_not_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would mix them with those of this version, which compute other operations."""
    monkeypatch.setattr("profilers.devices.local_cpu.check_runtime", lambda _: None)
    options = CpuConfig(out=tmp_path / "t.csv", space="mbv3-w0.35", resolutions=(64,), timing="warm", resume=True)
    path = tmp_path / "t.journal.jsonl"
    for dtype, refused in (("fp32", False), ("int8", True)):
        target = cpu_target("openvino", 1, 1, None, 9.0, dtype=dtype)
        now = identity(options, planned(options), target)
        Journal.create(path, {key: value for key, value in now.items() if key != FORM}).close()
        before = path.read_bytes()
        if refused:
            with pytest.raises(InputError, match=f"{path} was begun by another version of this program, which wrote "
                "models that compute other operations: start again with --overwrite in place of --resume"):  # fmt: skip
                profile_journal(options, now)
            assert path.read_bytes() == before
            profile_journal(replace(options, resume=False, overwrite=True), now).close()
        profile_journal(options, now).close()


def test_an_option_is_replaced_in_a_command_line_however_it_was_given() -> None:
    words = ["--seed", "3", "--resolutions=64,96", "--quick", "--name", "a --seed 3", "--seed=4"]
    assert replaced(words, {"--seed": "5", "--resolutions": "64"}) == [
        "--quick", "--name", "a --seed 3", "--seed", "5", "--resolutions", "64",
    ]  # fmt: skip
    assert replaced(words, {}) == words
    assert cpu.COMMAND.parse([*replaced(words, {"--resolutions": "96"}), "--out", "x.csv"]).resolutions == (96,)


@pytest.mark.parametrize("machine", ["quiet", "busy"])
def test_a_profile_from_python_is_that_of_the_command_line(
    machine: Kind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tmp_path / "t.csv"
    options = CpuConfig(out=made, space="mbv3-w0.35", resolutions=(64,), quick=True, rounds=1, limit=4)
    plant_machine(monkeypatch, machine)
    assert profile_cpu(options, "a script") == 0
    arguments = ["--space", "mbv3-w0.35", "--resolutions", "64", "--quick", "--rounds", "1", "--limit", "4", "--out"]
    plant_machine(monkeypatch, machine)
    assert cpu.main([*arguments, str(tmp_path / "u.csv")]) == 0
    table, other = LatencyTable.load(made), LatencyTable.load(tmp_path / "u.csv")
    assert table.header["source"] == "a script"
    assert table.rows == other.rows
    assert table.header.keys() == other.header.keys()
    differ = {key for key, value in table.header.items() if value != other.header[key]}
    # what is read off this machine beside the times
    assert differ <= {"source", "when", "clock_mhz", "clock_mhz_seen", "temperature_c", "load_average"}
    assert ("standard_error_pct" in table.header) == (machine == "busy"), "one round has errors by its repeats alone"


@pytest.mark.parametrize(
    ("asked", "in_place"),
    [
        ({}, True), ({"timing": "in-place"}, True), ({"timing": "warm"}, False), ({"limit": 3}, False),
        ({"delegate": "none"}, True), ({"delegate": "gpu"}, False), ({"delegate": "nnapi"}, False),
        ({"runner": "benchmark_model"}, False),
    ],
)  # fmt: skip
def test_phones_time_blocks_in_place_where_their_agent_runs_parts(asked: dict[str, Any], in_place: bool) -> None:
    assert AndroidConfig(out=OUT, **asked).in_place is in_place
    if asked.keys() & {"limit", "runner"} or asked.get("delegate") in ("gpu", "nnapi"):
        with pytest.raises(UsageError, match="--timing in-place needs"):
            AndroidConfig(out=OUT, **asked, timing="in-place")
    if not asked.keys() & {"runner"} and asked.get("delegate") not in ("gpu", "nnapi"):
        assert LinuxConfig(out=OUT, host="h", **asked).in_place is in_place


def test_a_phone_s_core_that_slept_is_warmed_up_until_a_governor_has_seen_load() -> None:
    def rules(pace: Any) -> list[Any]:
        return [pace.rules, pace.quick, pace.whole, pace.in_place.blocks, pace.in_place.parts]

    for here, there in zip(rules(CPU_PACE), rules(PHONE_PACE), strict=True):
        # 50 to 100 ms, and on while its clock rises; this machine's CPU does not sleep
        assert there["warmup_seconds_after_rest"] >= 0.1 and there["settle"] > 0 and there["warmup_max_seconds"] > 0.1
        assert "settle" not in here


def test_a_transfer_of_models_that_an_older_version_wrote_is_not_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("profilers.devices.local_cpu.check_runtime", lambda _: None)
    config = TransferConfig(out=tmp_path / "t.csv", suggest=1)
    space = get_space("mbv3-w0.35")
    (network,) = space.decode(space.sample(np.random.default_rng(0), 1))
    path = tmp_path / "t.networks.journal.jsonl"
    for dtype, refused in (("fp32", False), ("int8", True)):
        target = cpu_target("openvino", 1, 1, None, 9.0, dtype=dtype)
        begun = [config, networks_file(config.out), space, {"a": network}, target]
        (opened := transfer_journal(*begun, resume=False)).close()
        Journal.create(path, {key: value for key, value in opened.settings.items() if key != FORM}).close()
        before = path.read_bytes()
        if refused:
            with pytest.raises(InputError, match=f"{path} was begun by another version of this program, which wrote "
                "models that compute other operations: start again with --overwrite in place of --resume"):  # fmt: skip
                transfer_journal(*begun, resume=True)
            assert path.read_bytes() == before
            path.unlink()
        transfer_journal(*begun, resume=True).close()
        path.unlink()
