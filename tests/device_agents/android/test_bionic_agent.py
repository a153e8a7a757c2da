"""The agent for Android's own C library: its ELF file is read, since nothing here can run it."""

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from device_agents.android import bionic_agent
from device_agents.android.bundle import SOURCES
from ofa.errors import InputError

pytestmark = pytest.mark.skipif(
    find_spec("ziglang") is None or shutil.which("readelf") is None, reason="needs ziglang and readelf"
)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bionic") / "agent"
    bionic_agent.compile_for_bionic("aarch64", sorted(SOURCES.glob("*.c")), path)
    return path


def read_elf(agent: Path, *asked: str) -> str:
    return subprocess.run(["readelf", "-W", *asked, agent], check=True, capture_output=True, text=True).stdout


def test_it_is_what_androids_linker_starts(agent: Path) -> None:
    header, segments = read_elf(agent, "-h"), read_elf(agent, "-l")
    assert "AArch64" in header
    assert "DYN (Position-Independent Executable file)" in header, "Android starts nothing else"
    assert "[Requesting program interpreter: /system/bin/linker64]" in segments
    assert "TLS" not in segments, "older linkers refuse its alignment"
    assert re.findall(r"\(NEEDED\).*\[(.*)\]", read_elf(agent, "-d")) == ["libc.so", "libm.so", "libdl.so"]


def test_its_segments_fit_pages_of_16_kib(agent: Path) -> None:
    loads = [line.split() for line in read_elf(agent, "-l").splitlines() if line.strip().startswith("LOAD")]
    assert loads
    for _, offset, address, *_, align in loads:
        assert int(align, 16) == 16384
        assert (int(address, 16) - int(offset, 16)) % 16384 == 0


def test_it_uses_nothing_that_bionic_lacks(agent: Path) -> None:
    listed = {name for names in bionic_agent.symbols().values() for name in names}
    used = set(re.findall(r" UND (\w+)", read_elf(agent, "--dyn-syms")))
    assert used <= listed
    assert {"__errno", "__libc_init"} <= used, "and not glibc's or musl's"
    assert "COPY" not in read_elf(agent, "-r"), "bionic's linker copies no data"


def test_a_function_that_bionic_lacks_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text("#include <spawn.h>\nint main(void) { return posix_spawnattr_init(0); }\n")
    with pytest.raises(InputError, match=r"for Android's C library: .*undefined symbol: posix_spawnattr_init"):
        bionic_agent.compile_for_bionic("aarch64", [source], tmp_path / "agent")
    assert not (tmp_path / "agent").exists()
