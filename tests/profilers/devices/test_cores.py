"""Which cores there are, and which are the fastest."""

import pytest

from ofa.errors import InputError
from profilers.devices.core_options import ClusterOptions, cpu_numbers
from profilers.devices.cores import Cluster, core_numbers, cpu_list, fastest, kinds_of_cores, of_cluster
from profilers.profiling.table_header import known


@pytest.mark.parametrize(
    ("text", "cpus"), [("0-3,6\n", (0, 1, 2, 3, 6)), ("5", (5,)), ("", ()), ("x", ()), ("1-y", ())]
)
def test_lists_of_cpus_are_read_as_the_kernel_writes_them(text: str, cpus: tuple[int, ...]) -> None:
    assert cpu_list(text) == cpus


def test_a_list_of_cpus_is_read_as_a_header_has_it() -> None:
    assert cpu_numbers(known([0, 3, 1])) == cpu_numbers("3,1,0") == (0, 1, 3)


def test_the_fastest_cores_are_by_clock_and_then_the_last() -> None:
    assert fastest([0, 1, 2, 3], {0: 3, 1: 3, 2: 2, 3: 2}, 1) == [1]
    assert fastest([0, 1, 2, 3], {0: 3, 1: 3, 2: 2, 3: 2}, 3) == [0, 1, 3]
    assert fastest([0, 1, 2, 3], {}, 2) == [2, 3]


# a 2024 phone: four little cores, two kinds between, one prime core
MAX_KHZ = {**dict.fromkeys(range(4), 2_000_000), 4: 2_900_000, 5: 2_900_000, 6: 3_100_000, 7: 3_300_000}
EIGHT = tuple(range(8))


@pytest.mark.parametrize(
    ("which", "threads", "cpus"),
    [
        ("big", None, [7]), ("middle", None, [4, 5, 6]), ("little", None, [0, 1, 2, 3]), ("little", 1, [3]),
        ("middle", 2, [5, 6]),
    ],
)  # fmt: skip
def test_a_cluster_is_all_its_cores_or_the_fastest_of_them(
    which: Cluster, threads: int | None, cpus: list[int]
) -> None:
    kinds = kinds_of_cores(MAX_KHZ, {})
    assert kinds == [(0, 1, 2, 3), (4, 5), (6,), (7,)]
    assert of_cluster(which, kinds, EIGHT, MAX_KHZ, threads, "P") == cpus
    assert ClusterOptions(cores=which, threads=threads).threads_on(cpus) == len(cpus)


def test_capacity_tells_cores_apart_that_have_one_clock_and_counts_only_where_all_tell_it() -> None:
    one_clock = dict.fromkeys(range(4), 1_800_000)
    assert kinds_of_cores(one_clock, {0: 1024, 1: 1024, 2: 400, 3: 400}) == [(2, 3), (0, 1)]
    assert kinds_of_cores(one_clock, {0: 1024}) == kinds_of_cores(one_clock, {}) == [(0, 1, 2, 3)]
    assert kinds_of_cores({}, {0: 1024, 1: 400}) == [(1,), (0,)]


@pytest.mark.parametrize(
    ("which", "max_khz", "usable", "threads", "words"),
    [
        ("middle", {0: 1, 1: 1, 2: 2}, (0, 1, 2), None, r"P has only a little and a big cluster \(CPU 0, 1; 2\)"),
        ("big", {0: 1, 1: 1}, (0, 1), None, "all cores of P are of one kind: leave it out, or name CPUs by --cpu"),
        ("big", {}, (0, 1), None, "P does not show which of its cores are faster"),
        ("big", MAX_KHZ, (0, 1, 2), None, "of CPU 7 of P, none may be used$"),
        ("big", MAX_KHZ, EIGHT, 2, "of CPU 7 of P, 7 may be used, and --threads is 2"),
    ],
)
def test_a_device_without_such_a_cluster_is_named(
    which: Cluster, max_khz: dict[int, int], usable: tuple[int, ...], threads: int | None, words: str
) -> None:
    with pytest.raises(InputError, match=f"^--cores {which}: {words}"):
        of_cluster(which, kinds_of_cores(max_khz, {}), usable, max_khz, threads, "P")


def test_threads_are_one_unless_a_cluster_or_a_number_is_asked_for() -> None:
    assert ClusterOptions().threads_on([4, 5]) == ClusterOptions(cpu=(4, 5)).threads_on([4, 5]) == 1
    assert ClusterOptions(threads=2).threads_on([4, 5]) == 2
    with pytest.raises(InputError, match="--cpu is not allowed with --cores"):
        ClusterOptions(cores="big", cpu=(1,))


def test_numbers_that_a_device_does_not_tell_properly_are_left_out() -> None:
    told = {"khz.cpu1": "2", "khz.cpu0": "1", "khz.cpu2": "", "khz.cpu3": "x", "khz.cpux": "1", "khz.cpu4": "9" * 99}
    assert core_numbers(told, "khz") == {0: 1, 1: 2}
