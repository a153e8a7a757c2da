"""The journal: nothing but the record in flight is ever lost."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa.errors import InputError
from profilers.measuring.journal import MeasurementJournal

SETTINGS = {"space": "mbv3-w1.0", "resolutions": [160]}
records = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), max_size=6)


@given(written=records, data=st.data())
def test_a_journal_cut_at_any_byte_loses_at_most_the_cut_record(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    journal = MeasurementJournal.create(path, SETTINGS)
    for record in written:
        journal.append(record)
    journal.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    complete = max(0, whole[:cut].count(b"\n") - 1)
    resumed = MeasurementJournal.resume(path, SETTINGS)
    assert resumed.records == written[:complete]
    resumed.append({"after": 1})
    resumed.close()
    again = MeasurementJournal.resume(path, SETTINGS)
    assert again.records == [*written[:complete], {"after": 1}]
    again.close()


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    MeasurementJournal.create(tmp_path / "j", SETTINGS).close()
    with pytest.raises(InputError, match=r"begun with resolutions = \[160\], now it is \[192\]"):
        MeasurementJournal.resume(tmp_path / "j", {**SETTINGS, "resolutions": [192]})
    with pytest.raises(InputError, match="begun with threads = None, now it is 2"):
        MeasurementJournal.resume(tmp_path / "j", {**SETTINGS, "threads": 2})


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"kind": "settings"}\nhello\n')
    with pytest.raises(InputError, match="j:2: not a journal line"):
        MeasurementJournal.resume(tmp_path / "j", {})
