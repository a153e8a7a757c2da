"""Files from elsewhere, each with the hash it must have: kept in a cache, and never fetched twice."""

from __future__ import annotations

import io
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ofa.errors import InputError
from ofa.runs.files import replace_file, sha256

TIMEOUT_S = 60


def cached(cache: Path, digest: str, name: str, fetch: Callable[[Path], object], tell: Callable[[str], object]) -> Path:
    """The file with this sha256: from the cache, else fetched into it. InputError if what comes is another."""
    path = cache / "downloads" / f"{digest[:16]}-{name}"
    if path.is_file() and sha256(path) == digest:
        return path
    tell(f"fetching {name}")

    def checked(to: Path) -> None:
        fetch(to)
        if sha256(to) != digest:
            raise InputError(f"{name} has sha256 {sha256(to)}, expected {digest}: it is not used")

    replace_file(path, checked)
    return path


def wheel(package: str, version: str, platform: str, digest: str, to: Path) -> None:
    """A wheel for CPython 3.11 on another platform, by pip and its configured index."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{package}=={version} --hash=sha256:{digest}\n", encoding="utf-8", newline="\n")
        target = ["--platform", platform, "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", *target, "--dest", folder, "--requirement", str(wanted)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"pip cannot fetch {package} {version} for {platform}: {words}")
        to.write_bytes(wheels[0].read_bytes())


def debian_package(url: str, to: Path) -> None:
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is no web address")
    import urllib.request  # slow, and seldom needed

    # servers read a bare + in a path as a space
    request = urllib.request.Request(url.replace("+", "%2b"), headers={"User-Agent": "ofa-latency"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            to.write_bytes(answer.read())
    except OSError as error:
        raise InputError(f"cannot fetch {url}: {error}; --mirror names another server") from None


def deb_members(path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Files of a Debian package by their base name, links followed within it."""
    with tarfile.open(fileobj=io.BytesIO(_data_of(path))) as archive:
        by_name = {os.path.basename(member.name): member for member in archive.getmembers()}  # noqa: PTH119
        found = {}
        for name in names:
            member = by_name.get(name)
            while member is not None and member.issym():
                member = by_name.get(os.path.basename(member.linkname))  # noqa: PTH119
            content = archive.extractfile(member) if member is not None else None
            if content is None:
                raise InputError(f"{path} has no {name}")
            found[name] = content.read()
    return found


def _data_of(path: Path) -> bytes:
    """data.tar.xz, unpacked. A .deb is an ar archive: 60 bytes before each member tell its name and size."""
    content = path.read_bytes()
    at = 8
    while at + 60 <= len(content):
        name, size = content[at : at + 16].rstrip(b" /"), int(content[at + 48 : at + 58])
        if name == b"data.tar.xz":
            return lzma.decompress(content[at + 60 : at + 60 + size])
        at += 60 + size + size % 2
    raise InputError(f"{path} is no Debian package with a data.tar.xz")
