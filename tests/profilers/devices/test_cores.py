"""Which cores there are, and which are the fastest."""

import pytest

from profilers.devices.core_options import cpu_numbers
from profilers.devices.cores import cpu_list, fastest
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
