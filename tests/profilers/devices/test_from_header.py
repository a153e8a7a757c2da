"""A device is asked again as its table's header says."""

from pathlib import Path

import pytest

from ofa.blocks import all_blocks
from ofa.errors import InputError
from ofa.space import get_space
from ofa.tables import LatencyTable, TableRow
from profilers.devices.access_options import AccessOptions
from profilers.devices.from_header import open_target, phone_options, target_of

PLAIN = {"device": "D", "provenance": "measured", "space": "mbv3-w0.35", "source": "a test"}
PHONE = {"agent": "android", "runtime": "ai-edge-litert 2.3.0", "delegate": "none", "threads": "2", "cpus": "6, 7"}


def table(**header: str) -> LatencyTable:
    rows = [TableRow(all_blocks(get_space("mbv3-w0.35"), [64])[0], 1.0)]
    return LatencyTable({**PLAIN, **header}, rows, Path("d.csv"))


def test_a_phone_is_asked_as_it_was() -> None:
    asked = phone_options(table(**PHONE), AccessOptions(serial="S"))
    assert (asked.delegate, asked.threads, asked.cpu, asked.runner) == ("none", 2, (6, 7), "agent")
    assert not asked.no_fixed_performance
    assert phone_options(table(**PHONE, fixed_performance_mode="not asked for"), AccessOptions()).no_fixed_performance


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"delegate": "magic"}, "--delegate is 'magic', expected"),
        ({"delegate": ""}, r"d\.csv: the header has no '# delegate: \.\.\.' line"),
        ({"threads": "many"}, r"d\.csv: the header's threads are 'many', expected a number"),
        ({"cpus": "big"}, r"d\.csv: cpus: 'big', expected numbers"),
        (
            {"runtime": "benchmark_model (sha256 1)"},
            r"d\.csv was made by benchmark_model: give the same tool by --agent-bin",
        ),
    ],
)
def test_a_header_that_does_not_say_how_is_named(change: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        phone_options(table(**{**PHONE, **change}), AccessOptions())


def test_an_address_for_another_kind_of_device_is_refused() -> None:
    for access, words in (
        (AccessOptions(serial="S"), "--serial is for the table of a phone: d.csv is of none"),
        (AccessOptions(host="h"), "--host is for the table of a board: d.csv is of none"),
        (AccessOptions(ssh_config=Path("c")), "--ssh-config is for the table of a board: d.csv is of none"),
    ):
        with pytest.raises(InputError, match=words), open_target(table(runtime="torch 2"), access, 60.0, print):
            pass


def test_a_table_of_two_threads_is_asked_on_both_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profilers.devices.local_cpu.check_runtime", lambda _: None)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    target = target_of(table(runtime="onnxruntime 1", threads="2", cpus="0, 1"), 60.0)
    assert (target.manifest["cpus"], target.manifest["threads"]) == ([0, 1], 2)


def test_a_cpu_that_this_process_may_not_use_is_the_tables_and_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    with pytest.raises(InputError, match=r"^d\.csv was measured on CPU 1, and this process may use 0: let it use"):
        target_of(table(runtime="onnxruntime 1", cpus="1"), 60.0)
