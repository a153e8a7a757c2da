"""What makes a run what it is: a run is continued only with the same settings and the same content of its inputs."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.cli.config import Config, Field, Free, Input, fields_of
from ofa.errors import InputError
from ofa.images.files.listing import list_folder
from ofa.reading.numbers import cut
from ofa.reading.zip_file import DAMAGED
from ofa.runs.files import sha256

MOST_READ = 1 << 30  # bytes of a folder of images, some seconds: of a larger one, not every file is read


def identity_of(config: Config, **found: Any) -> dict[str, Any]:
    """A config as JSON, without the fields that are `Free`; every `Input` by the hash of its content.

    found: what else decides the results and only the run knows, such as the resolutions of a checkpoint
    InputError where an input is not there. A field of paths that is neither Free nor Input is a fault of ours.
    """
    identity: dict[str, Any] = {}
    for field in fields_of(type(config)):
        value = getattr(config, field.name)
        if not any(isinstance(mark, Free) for mark in field.marks):
            identity[field.name] = _identity(field, value)
    # through JSON, so that types are those of what is read back
    read: dict[str, Any] = json.loads(json.dumps({**identity, **found}))
    return read


def first_difference(before: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """Where two JSON values differ first: "recipe[2].epochs", and both values there; None where they are equal.

    Files, as `identity_of` writes them, are compared by content: the same file may have another name.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        if _is_file(before) and _is_file(now):
            return None if _same_content(before, now) else (name, before, now)
        for key in {**now, **before}:
            found = first_difference(before.get(key), now.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for i, (one, other) in enumerate(zip(before, now, strict=True)):
            found = first_difference(one, other, f"{name}[{i}]")
            if found:
                return found
        return None
    return None if before == now else (name, before, now)


@dataclass(frozen=True)
class Difference:
    """A setting that two runs do not have in common; None: one of them lacks it, or it was not given there."""

    name: str
    was: Any
    now: Any

    @classmethod
    def between(cls, before: Any, now: Any) -> Difference | None:
        """The first of two JSON values; None where they are equal."""
        found = first_difference(before, now)
        return None if found is None else cls(cut(found[0] or "settings", 80), *found[1:])

    def words(self, this: str = "this one") -> str:
        """Such as "with seed = 0, but this one has 5", or "without networks, but this one has networks = 4"."""
        if self.was is None:
            return f"without {self.name}, but {this} has {self.name} = {shown(self.now)}"
        now = "is without" if self.now is None else f"has {shown(self.now)}"
        return f"with {self.name} = {shown(self.was)}, but {this} {now}"

    def way_out(self, anew: str, cheap: Path | None = None) -> str:
        """What to do about it. anew: how to start again; cheap: what may be removed, because little is lost with it"""
        if self.was is not None and self.now is not None:
            return f"give the same settings, or {anew}"
        remove = "" if cheap is None else f"remove {cheap} or "
        return f"give the same settings or, if another version of this program began it, {remove}{anew}"


def shown(value: Any) -> str:
    """A setting for a message: short, and files by name."""
    if isinstance(value, dict) and _is_file(value):
        return f"{cut(value['file'])} (SHA-256 {str(value.get('content', value['sha256']))[:12]}...)"
    return cut(json.dumps(value), 120)


def _identity(field: Field, value: Any) -> Any:
    inputs = [mark for mark in field.marks if isinstance(mark, Input)]
    if isinstance(value, tuple):
        return [_identity(field, item) for item in value]
    if not inputs:
        if isinstance(value, Path):
            raise TypeError(f"{field.owner.__name__}.{field.name} is a path, and neither marked Input nor Free")
        return value
    path = inputs[0].find(value) if inputs[0].find and value is not None else value
    if path is None:
        return value  # not given, or a name that stands for no file
    path = Path(path)
    if not path.exists():
        raise InputError(f"{field.flag}: there is no {path}")
    if inputs[0].content is not None:
        return inputs[0].content(path)
    if inputs[0].images:
        content = {"content": _content_sha256(path)} if path.is_dir() else {}  # a ZIP's listing has checksums
        return {"file": path.name, "sha256": _listing_sha256(path), **content}
    return file_identity(path, inputs[0].beside)


def file_identity(path: Path, beside: str = "") -> dict[str, str]:
    """A file as `identity_of` writes it; beside: the ending of a file that is read with it, where there is one."""
    identity = {"file": path.name, "sha256": sha256(path)}
    if beside and path.with_suffix(beside).is_file():
        identity["beside"] = sha256(path.with_suffix(beside))
    return identity


def _is_file(value: dict[str, Any]) -> bool:
    return {"file", "sha256"} <= set(value) <= {"file", "sha256", "beside", "content"}


def _same_content(before: dict[str, Any], now: dict[str, Any]) -> bool:
    if "content" in before and "content" in now:
        return bool(before["content"] == now["content"])
    # until 2026-11-26 what was written for a file was the SHA-256 of its SHA-256's bytes
    former = hashlib.sha256(bytes.fromhex(now["sha256"])).hexdigest()
    return before["sha256"] in (now["sha256"], former) and before.get("beside") in (None, now.get("beside"))


def _content_sha256(folder: Path) -> str:
    """SHA-256 of all files that a reader of images sees below a folder: their names, sizes and contents.

    Of contents, MOST_READ bytes and no more: of a larger folder those of some files, which names and sizes decide.
    """
    named = {_name_and_size(folder, file.place): folder / file.place for file in list_folder(folder).files}
    digest, room = hashlib.sha256(), MOST_READ
    for line in sorted(named):
        digest.update(line + b"\n")
    for line in sorted(named, key=lambda line: hashlib.sha256(line).digest()):
        try:
            content = named[line].read_bytes() if room > 0 else b""
        except OSError:  # whoever reads the images says so
            content = b""
        room -= len(content)
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _name_and_size(folder: Path, place: str) -> bytes:
    return f"{place!r} {(folder / place).stat().st_size}".encode()


def _listing_sha256(path: Path) -> str:
    """SHA-256 of the names and sizes of a folder's files, or of the names and checksums in a ZIP file.

    Of folders, it is what runs before 2026-11-27 are known by.
    """
    digest = hashlib.sha256()
    for line in sorted(_zip_lines(path) if path.is_file() else _folder_lines(path)):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _folder_lines(folder: Path) -> Iterator[str]:
    for file in folder.rglob("*"):
        relative = file.relative_to(folder)
        if not any(part.startswith(".") for part in relative.parts) and file.is_file():
            yield f"{relative.as_posix()!r} {file.stat().st_size}"


def _zip_lines(file: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    yield f"{entry.filename!r} {entry.file_size} {entry.CRC}"
    except DAMAGED:
        yield sha256(file)  # not a ZIP: whoever reads the images says so
