"""Several phones at once, through real adbds: a table each, and one's failure is its own."""

from pathlib import Path

import pytest

from device_agents.android import bundle
from device_agents.android.testphone.phone import PROPERTIES, TestPhone
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.tables import LatencyTable
from profilers.android import main
from profilers.devices.phone.serials import name_in_files

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
SMALL = ["--space", "mbv3-w0.35", "--resolutions", "32", "--limit", "4", "--quick", "--rounds", "1"]
NOBODY = "127.0.0.1:1"


def named(phone: TestPhone, serial: str) -> None:
    phone.say("properties", {**PROPERTIES, "ro.product.cpu.abilist": "x86_64", "ro.serialno": serial})


def test_two_phones_are_measured_beside_each_other_and_what_failed_is_gone_on_with(
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
    words += [*SMALL, "--cool-seconds", "0", "--out", str(tmp_path / "t.csv")]

    phones[1].heat(95.0)
    assert main(words) == 1
    said = capsys.readouterr().out
    assert f"  {NOBODY}: no table: no device answers at {NOBODY}" in said
    assert f"  {serials[0]}: wrote {tables[0]}\n" in said
    assert f"  {serials[1]}: no table: the phone is too hot (" in said
    first = tables[0].read_bytes()
    assert not tables[1].exists()

    phones[1].heat(40.0)
    assert main([*words, "--resume"]) == 1, "one of the three is still not there"
    made = [LatencyTable.load(table) for table in tables]
    assert [len(table.rows) for table in made] == [4, 4]
    journals = [Journal.read(table.with_suffix(".journal.jsonl")) for table in tables]
    assert len({journal.settings["phone"] for journal in journals}) == 2
    assert all(serial not in table.read_text() for serial in serials for table in tables), "nor in the command"
    assert "--serial SECRET" not in first.decode() and "--serial SERIAL" in first.decode()
    assert sorted(path.name for path in tmp_path.glob("t*")) == sorted(
        path.name for table in tables for path in (table, table.with_suffix(".journal.jsonl"))
    )

    twice = serials[0].replace("127.0.0.1", "localhost")
    with pytest.raises(InputError, match=f"--serial {twice} and {serials[0]} are the same phone: leave one out"):
        main(["--serial", serials[0], "--serial", twice, *words[6:]])
