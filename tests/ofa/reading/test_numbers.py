"""Numbers of others: what a person or a program writes is read to the digit, everything else is named."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.reading.numbers import COUNT, MILLISECONDS, PERCENT, Bounds

ANY = Bounds(-1e300, 1e300, "anything")


@given(st.floats(-1e300, 1e300))
def test_whatever_python_writes_is_read_back(value: float) -> None:
    assert ANY.decimal("x", repr(value)) == value
    assert ANY.check("x", value) == value


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_are_read_back(value: int) -> None:
    bounds = Bounds(-(10**30), 10**30, "anything")
    assert bounds.integer("x", str(value)) == value == bounds.whole("x", value)


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1_0", "1_0.5", "１.5", "٦", "nan", "inf", "-inf", "Infinity", "0x10", "1e", "e5", ".", "+", "--1"]
    + ["1" * 5000, "1,5", "1e9999", "1d5", "1.5.2", "1\n", "²"],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    for read in (ANY.decimal, ANY.integer):
        with pytest.raises(InputError, match=r"^x is .{2,70}, expected a (whole )?number of anything from") as refused:
            read("x", text)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, False, None, "1", [1], 10**50, -(10**50)])
def test_what_is_no_number_of_a_program_is_refused(value: object) -> None:
    for read in (MILLISECONDS.check, COUNT.whole):
        with pytest.raises(InputError, match=r"^x is .{2,60}, expected a (whole )?number of"):
            read("x", value)


def test_bounds_are_both_within() -> None:
    assert PERCENT.decimal("x", "0") == 0
    assert PERCENT.decimal("x", "100") == 100
    for wrong in ("-0.001", "100.001"):
        with pytest.raises(InputError, match=r"expected a number of per cent from 0 to 100"):
            PERCENT.decimal("x", wrong)
    with pytest.raises(InputError, match="whole"):
        COUNT.whole("x", 1.0)


def test_an_integer_that_python_refuses_to_print_is_named() -> None:
    with pytest.raises(InputError, match="x is an integer of more than 40 digits, expected"):
        COUNT.whole("x", 10**5000)
