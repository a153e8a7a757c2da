"""A board to log in to, and models for it."""

import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.android import bundle
from ofa.blocks import all_blocks
from ofa.space import get_space
from profilers.devices.board.ssh import SPARE
from profilers.measuring.models import write_models
from profilers.measuring.plan import make_plan
from tests.profilers.boards import CONFIG, SSHD_CONFIG, START, Sshd, sshd_program


@pytest.fixture(scope="session")
def sshd_there(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """sshd and its environment; where it is not installed, it is fetched once."""
    return sshd_program(tmp_path_factory.mktemp("sshd-program"))


@pytest.fixture(scope="module")
def sshd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("ssh") is None:
        pytest.skip("needs x86-64 Linux and ssh")
    if subprocess.run(["unshare", "-U", "-r", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a user namespace is not to be had here")
    folder = tmp_path_factory.mktemp("sshd")
    program, environment = request.getfixturevalue("sshd_there")
    # the agent fits, with the space that stays free, and a few models
    agent = bundle.make("x86_64")
    small = sum((agent.folder / name).stat().st_size for name in agent.files) + SPARE + 450_000
    for home in ("home", "small"):
        (folder / home).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in ("key", "hostkey"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    users = (("me", "home"), ("small", "small"))
    (folder / "passwd").write_text("".join(f"{name}:x:1000:1000::{folder}/{home}:/bin/sh\n" for name, home in users))
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "-U", "-r", "-m", "sh", "-c", START, "sh", folder, program, str(small)],
            env={**os.environ, **environment}, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            for _ in range(600):
                if "listening" in (folder / "log").read_text() or process.poll() is not None:
                    break
                time.sleep(0.1)
            if process.poll() is not None:
                pytest.skip(f"sshd does not start here: {(folder / 'log').read_text()[-300:]}")
            yield Sshd(folder / "home", folder / "config", process.pid)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with the models b00000 and b00001."""
    folder = tmp_path / "models"
    folder.mkdir()
    blocks = all_blocks(get_space("mbv3-w1.0"), [160])[:2]
    write_models(make_plan([(block,) for block in blocks], 1, 0).models, "tflite", folder, batch=1)
    return folder
