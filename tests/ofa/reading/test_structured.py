"""JSON and TOML of others: read as Python would, or refused in one line that names the file."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.reading.structured import MAX_DEPTH, as_object, need, parse_json, parse_object, read_json, read_toml

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=100,
)


@given(PLAIN)
def test_what_python_writes_is_read_as_python_reads_it(value: Any) -> None:
    assert parse_json(json.dumps(value), "f") == value


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_anything_else_is_one_line(content: bytes | str) -> None:
    try:
        parse_json(content, "f")
    except InputError as error:
        assert str(error).startswith("f: ")
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, f"more than {MAX_DEPTH} deep"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), f"more than {MAX_DEPTH} deep"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, f"more than {MAX_DEPTH} deep"),
        ("9" * 5000, "an integer of 5000 digits"),
        ("[1e400]", "1e400 is beyond"),
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"a": 1,}', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_json_does_not_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        parse_json(text, "f.json")
    assert len(str(refused.value)) < 200


def test_depths_that_are_fine_are_read() -> None:
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f") is not None


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "true"])
def test_an_object_is_an_object(text: str) -> None:
    with pytest.raises(InputError, match=r"f: .*, expected an object"):
        parse_object(text, "f")
    assert as_object({}, "f") == {}


def test_a_field_is_of_its_kind() -> None:
    fields = {"n": 1, "flag": True, "name": "x"}
    assert need(fields, "n", int, "f") == 1
    assert need(fields, "flag", bool, "f") is True
    with pytest.raises(InputError, match="f: flag is of another kind"):
        need(fields, "flag", int, "f")
    with pytest.raises(InputError, match="f: gone is missing, expected text"):
        need(fields, "gone", str, "f")


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)
    for name, read in (("a.json", read_json), ("a.toml", read_toml)):
        (tmp_path / name).write_bytes(b'a = "\xff"')
        with pytest.raises(InputError, match=f"{name}: not (JSON|TOML)"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["a = [" + "[" * 5000 + "]" * 5000 + "]", "a = " + "9" * 5000, "a = inf", "a = ", "a\n"]
)
def test_toml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"t\.toml: not TOML") as refused:
        read_toml(path)
    assert "\n" not in str(refused.value)


def test_toml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_bytes(b"# \xc3\xbc\r\na = 1\r\n")
    assert read_toml(path) == {"a": 1}
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\n")  # as Windows' editors write it
    assert read_toml(path) == {"a": 1}
