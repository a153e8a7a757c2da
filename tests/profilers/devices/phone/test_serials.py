"""Several phones by their serials, which may be any text: names of files, and serials of one and the same phone."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa.errors import InputError
from profilers.devices.phone import adb, serials
from profilers.devices.phone.serials import Reached, chosen_serials, reach
from profilers.devices.phone.server import Server
from profilers.devices.phone.words import name_in_files, shareable
from profilers.measuring.events import ConnectionLost

HOSTILE = [
    "../../etc/passwd", "..", ".", "/", "a/b", "a\\b", "a\0b", "\n", "-rf", " ", "", "R5" * 200, "con",
    "a\ud800", "\u202e", "127.0.0.1:5555", "127-0-0-1-5555", "127.0.0.1-5555", "r58m", "R58M", "R58m", "é", "e\u0301",
]  # fmt: skip


def is_a_name(name: str) -> bool:
    return name == Path(name).name and name.isascii() and name.isprintable() and 1 <= len(name) <= 60


def test_names_stay_in_their_folder_and_do_not_meet_even_where_case_does_not_count() -> None:
    names = [name_in_files(serial) for serial in HOSTILE]
    assert all(is_a_name(f"t-{name}.csv") for name in names)
    assert len({name.casefold() for name in names}) == len(HOSTILE)
    assert name_in_files("R58M123ABC") == "R58M123ABC"
    assert name_in_files("192.168.1.7:5555").startswith("192-168-1-7-5555-")


@settings(max_examples=40)
@given(st.text(max_size=50), st.text(max_size=50))
def test_different_serials_have_different_names(one: str, other: str) -> None:
    assert is_a_name(f"t-{name_in_files(one)}.csv")
    assert (name_in_files(one).casefold() == name_in_files(other).casefold()) == (one == other)


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """What an adb server has, to be filled; two phones are on USB, one of which the server may have too."""
    served: dict[str, str] = {}
    monkeypatch.setattr(Server, "devices", lambda _: served)
    monkeypatch.setattr(serials, "usb_devices", lambda: [("USB1", None), ("USB2", None)])
    monkeypatch.setattr(adb, "KEY", tmp_path / "adbkey")
    return served


def test_all_are_those_of_the_server_and_of_usb_each_once_and_no_emulator(attached: dict[str, str]) -> None:
    attached |= {"emulator-5554": "device", "USB2": "device", "10.0.0.7:5555": "unauthorized"}
    assert chosen_serials(["all"]) == ["USB2", "10.0.0.7:5555", "USB1"]
    assert chosen_serials(["USB1", "emulator-5554"]) == ["USB1", "emulator-5554"]
    with pytest.raises(InputError, match="--serial is 'a b', expected a USB serial"):
        chosen_serials(["USB1", "a b"])


def test_without_libusb_those_of_the_server_are_all_and_none_is_said(
    attached: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_libusb() -> list:
        raise InputError("USB needs libusb")

    monkeypatch.setattr(serials, "usb_devices", no_libusb)
    with pytest.raises(InputError, match="USB needs libusb"):
        chosen_serials(["all"])
    attached["S"] = "device"
    assert chosen_serials(["all"]) == ["S"]
    attached.clear()
    monkeypatch.setattr(serials, "usb_devices", list)
    with pytest.raises(InputError, match="--serial all: no phone is attached"):
        chosen_serials(["all"])


def test_what_does_not_answer_is_told_and_a_phone_of_two_serials_is_one(attached: dict[str, str]) -> None:
    del attached
    phones = {"USB1": "one", "10.0.0.7:5555": "one", "USB2": "two"}

    def which(serial: str) -> str:
        if serial == "gone":
            raise ConnectionLost("the connection\n was lost")
        if serial not in phones:
            raise InputError(f"{serial} does not answer")
        return phones[serial]

    names = ["\x1b[31m", "USB1", "gone", "USB2", "10.0.0.7:5555"]
    assert reach(names, which) == Reached(
        ("USB1", "USB2"),
        {"\x1b[31m": "\\x1b[31m does not answer", "gone": "the connection\\n was lost"},
        {"10.0.0.7:5555": "USB1"},
    )
    assert adb.KEY.is_file(), "the key was made once, before all asked for it"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("x --serial R58M123ABC --out t-R58M123ABC.csv", "x --serial SERIAL --out t-SERIAL.csv"),
        ("x --serial=R58 --serial AB --out R58MD.csv", "x --serial=SERIAL --serial SERIAL --out R58MD.csv"),
        ("x --serial 192.168.1.7:5555", "x --serial SERIAL"),
        ("x --serial all --space mbv3-w1.0 --out all.csv", "x --serial all --space mbv3-w1.0 --out all.csv"),
        ("x --host pi@board --serial", "x --host pi@board --serial"),
        ("x --out 'a", "x --out 'a"),
        ("x --serial 'a", "not shown"),
    ],
)  # fmt: skip
def test_a_command_for_other_peoples_eyes_has_no_serial_in_it(typed: str, shown: str) -> None:
    assert shareable(typed) == shown
    name = name_in_files("192.168.1.7:5555")
    assert shareable(f"x --serial 192.168.1.7:5555 --out t-{name}.csv") == "x --serial SERIAL --out t-SERIAL.csv"
