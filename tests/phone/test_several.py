"""Several phones at once, through real adbds: a table each, and one's failure is its own."""

from pathlib import Path

import pytest

from device_agents.android import bundle
from device_agents.android.testphone.phone import PROPERTIES, TestPhone
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.tables import LatencyTable
from profilers.android import main
from profilers.devices.access_options import AccessOptions
from profilers.devices.from_header import phone_options
from profilers.devices.identity import device_id
from profilers.devices.phone.words import name_in_files

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "4", "--quick", "--rounds", "1"]
NOBODY = "127.0.0.1:1"


def named(phone: TestPhone, serial: str) -> None:
    phone.say("properties", {**PROPERTIES, "ro.product.cpu.abilist": "x86_64", "ro.serialno": serial})


def test_two_phones_are_measured_beside_each_other_in_float16_and_one_s_failure_is_its_own(
    boot, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(bundle.default_cache().parent))
    monkeypatch.setenv("HOME", str(key.parent.parent))  # of the processes for each phone
    phones = [boot(), boot()]
    for number, phone in enumerate(phones):
        named(phone, f"SECRET{number}")
    serials = [phone.serial for phone in phones]
    tables = [tmp_path / f"t-{name_in_files(serial)}.csv" for serial in serials]
    words = [word for serial in [*serials, NOBODY] for word in ("--serial", serial)]
    words += [*SMALL, "--dtype", "fp16", "--cool-seconds", "0", "--out", str(tmp_path / "t.csv")]

    phones[1].heat(95.0)
    assert main(words) == 1
    said = capsys.readouterr().out
    assert f"  {NOBODY}: no table: no device answers at {NOBODY}" in said
    assert f"  {serials[0]}: wrote {tables[0]}\n" in said
    assert f"  {serials[1]}: no table: the phone is too hot (" in said
    first = tables[0].read_text()
    assert not tables[1].exists()

    made = LatencyTable.load(tables[0])
    assert (len(made.rows), made.header["dtype"]) == (4, "fp16")
    assert phone_options(made, AccessOptions()).dtype == "fp16"
    assert "SECRET0" not in first and serials[0] not in first and "--serial SERIAL" in first
    assert said.rstrip().endswith("--resume")
    # both journals are there to be gone on with
    journals = [Journal.read(table.with_suffix(".journal.jsonl")) for table in tables]
    assert len({journal.settings["phone"] for journal in journals}) == 2
    assert made.header["device_id"] == device_id("phone", journals[0].settings["phone"])
    assert {journal.settings["dtype"] for journal in journals} == {"fp16"}
    assert sorted(path.name for path in tmp_path.glob("t*")) == sorted(
        path.name for path in (tables[0], *(table.with_suffix(".journal.jsonl") for table in tables))
    )

    twice = serials[0].replace("127.0.0.1", "localhost")
    with pytest.raises(InputError, match=f"--serial {twice} and {serials[0]} are the same phone: leave one out"):
        main(["--serial", serials[0], "--serial", twice, *words[6:]])
