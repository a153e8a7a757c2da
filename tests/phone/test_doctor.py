"""The doctor on the test phone: a line for every fact, the truth of each phone, and no serial number."""

import pytest

from device_agents.android.testphone.moods import MOODS
from device_agents.android.testphone.phone import DUMPSYS
from profilers.android import main
from profilers.devices.phone.doctor import examine
from profilers.devices.phone.doctor.numerics import outputs_here

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]


def verdicts(said: str) -> dict[str, str]:
    """{what was looked at: the rest of its line}."""
    lines = [line for line in said.splitlines() if line[:6] in ("good  ", "LOOK  ", "BAD   ")]
    return {line[6:].partition(": ")[0]: line[:4].strip() + " " + line[6:].partition(": ")[2] for line in lines}


def test_every_fact_has_its_line_and_the_serial_has_none(boot, capsys) -> None:
    phone = boot()
    assert main(["--serial", phone.serial, "--doctor"]) == 0
    said = capsys.readouterr().out
    found = verdicts(said)
    assert list(found) == [
        "connection", "phone", "cores", "space", "energy", "agent", "numerics", "pinning", "clocks", "heat", "screen",
        "battery", "battery saver", "airplane mode",
    ]  # fmt: skip
    assert found["phone"].startswith("LOOK ofa-latency Test phone, x86_64, pages of 4 KiB, the phone calls itself an")
    assert found["agent"] == "good ai-edge-litert 2.3.0 starts, 40 of 40 visits of a block were made"
    assert found["numerics"].startswith("good a block's outputs differ from ai-edge-litert ")
    assert found["numerics"].endswith(" of the largest, tolerance 0.0001")
    assert found["pinning"] == "good every visit ran where it was put"
    assert found["clocks"].startswith("good ")
    assert found["heat"].startswith("good 1 thermal zones, in thousandths of a degree, 40 C; visits wait while ")
    assert found["energy"] == "LOOK the battery reports no current and no charge: profilers.energy cannot measure here"
    assert found["screen"] == "good on, kept on while the phone charges"
    assert phone.serial not in said
    assert (phone.state / "fixed_performance").read_text().split()[-1] == "false"


def test_a_phone_that_closes_its_sensors_and_is_nearly_empty_is_seen_to(boot, capsys) -> None:
    phone = boot(mood=MOODS["closed"])
    phone.dumpsys("thermalservice", "Can't find service: thermalservice")
    phone.dumpsys("battery", DUMPSYS["battery"].replace("80", "30").replace("USB powered: true", "USB powered: false"))
    assert main(["--serial", phone.serial, "--doctor"]) == 0
    found = verdicts(capsys.readouterr().out)
    assert found["heat"].startswith("LOOK no sensor that adb may read, not known; off: ")
    assert found["battery"] == "LOOK 30 %, not charging: charge it above 50 %"
    assert found["screen"].startswith("LOOK ")


def test_outputs_that_are_not_this_computer_s_are_bad(boot, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "SEED", 1)
    monkeypatch.setattr(examine, "VISITS", 1)
    monkeypatch.setattr(examine, "outputs_here", lambda model, seed: outputs_here(model, seed + 1))
    assert main(["--serial", boot().serial, "--doctor"]) == 1
    found = verdicts(capsys.readouterr().out)["numerics"]
    assert found.startswith("BAD ") and "of the largest, tolerance 0.0001: do not deploy with this runtime" in found


def test_a_phone_that_cannot_be_measured_is_bad(boot, capsys) -> None:
    phone = boot()
    phone.dumpsys("thermalservice", DUMPSYS["thermalservice"].replace("Status: 0", "Status: 3"))
    assert main(["--serial", phone.serial, "--doctor", "--cool-seconds", "0"]) == 1
    found = verdicts(capsys.readouterr().out)
    assert found["agent"].startswith("BAD the phone is too hot (Android's thermal status is 3: clocks are cut)")
    assert "space" in found, "what could be looked at is there"
