"""The smallest alignment of ELF files, against readelf's, and of what is none."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from device_agents.android.elf import least_alignment, too_small_for


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_it_is_what_readelf_says() -> None:
    file = Path(sys.executable).resolve()
    shown = subprocess.run(["readelf", "-lW", file], check=True, capture_output=True, text=True).stdout
    found = least_alignment(file)
    assert found == min(int(align, 16) for align in re.findall(r"^ +LOAD .* (0x[0-9a-f]+)$", shown, re.MULTILINE))
    assert too_small_for(found, [file]) == []
    assert too_small_for(2 * found, [file]) == [file]


@pytest.mark.parametrize(
    "content", [b"", b"#!/bin/sh\n" * 20, b"\x7fELF\x02\x01" + bytes(58), b"\x7fELF\x01\x01" + bytes(99)]
)
def test_what_is_no_64_bit_elf_file_demands_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert least_alignment(tmp_path / "x") is None
    cut = Path(sys.executable).resolve().read_bytes()[:100]
    (tmp_path / "cut").write_bytes(cut)
    assert least_alignment(tmp_path / "cut") is None
