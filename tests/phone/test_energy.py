"""A battery whose kernel's files are closed, through a real adbd: what Android's service tells of it, and refusals."""

from pathlib import Path

import numpy as np
import pytest

from device_agents.android.testphone.batteries import BATTERIES
from ofa.blocks import blocks_of
from ofa.errors import InputError
from ofa.runs.journal import Journal
from ofa.space import get_space
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.devices.phone.phone_target import open_phone, session_of
from profilers.energies import battery, measured_energy
from profilers.energies.battery import SERVICE
from profilers.energies.measured_energy import Halves, MeasuredEnergies, make_turns
from profilers.measuring.models import write_models

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]


def test_what_androids_service_tells_of_a_battery_is_measured_by_and_what_says_nothing_is_refused(
    boot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_energy, "_ASLEEP_S", 1e9)  # a computer that stood still is no phone that sleeps
    # windows of 30 ms: a mAh in one of them is 100 A
    monkeypatch.setattr(battery, "_AWAKE_MA", (0.0, 1e9))
    phone, asked, space = boot(), PhoneOptions(no_fixed_performance=True), get_space("mbv3-w0.35")
    chain = blocks_of(space, space.decode(space.sample(np.random.default_rng(0), 1, resolutions=[32]))[0])
    files = list(write_models({"n": chain}, "tflite", tmp_path, 1).values())
    with Adb(phone.serial) as adb:
        adb.connect()
        shape, cpus = open_phone(adb, asked)
        with session_of(adb, shape, cpus, asked, 1, 60.0, print) as target:

            def measured(name: str) -> MeasuredEnergies:
                phone.battery(BATTERIES[name])
                journal = Journal.create(tmp_path / f"{name}.jsonl", {})
                try:
                    # windows of 30 ms: emulated or not, no time of this phone is believed
                    return make_turns(journal, target, tmp_path, files, [(0, 0)], 0, lambda *_: None, Halves.of(0.36))
                finally:
                    journal.close()

            for name, words in {
                "newer": f"microamperes and millivolts, negative when it discharges, by {SERVICE}",
                "samsung": f"milliamperes and millivolts, negative when it discharges, by {SERVICE}",
                "counter": f"microampere-hours, in steps of 1 mAh, and millivolts, by {SERVICE}",
            }.items():
                found = measured(name)
                assert words in found.units.words(found.negative)
                ((turn,),) = found.turns
                assert 0 < turn.idle.power_mw < turn.busy.power_mw, name
            for name, words in {
                "silent": "nor does Android's battery service report a current or a charge counter",
                "frozen": "figures that somebody has set",
            }.items():
                with pytest.raises(InputError, match=words):
                    measured(name)
