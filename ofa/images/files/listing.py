"""Every file below a folder, or in a zip: each once, whatever links, pipes and odd names there are."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ofa.images.files.names import shown

Parts = tuple[str, ...]

_UNSEEN = ("__MACOSX", "Thumbs.db", "desktop.ini")
_UTF8_NAME = 0x800  # a zip member's flag

READ_BEFORE = "links to a folder that is read already"
NOWHERE = "links that lead nowhere"
NO_FILES = "pipes, sockets or devices"
CLOSED = "folders that cannot be opened"
OUTSIDE = "zip members that lead out of the zip"
ZIPPED_LINKS = "links in a zip"


@dataclass(frozen=True, order=True)
class File:
    """parts: its path inside the folder or zip, as it can be shown; place: the path as it is, or the zip member's."""

    parts: Parts
    place: str


@dataclass(frozen=True)
class LeftOut:
    """What is there and not used.

    parts: its path; kind: a suffix, ".txt", or what it is, in the plural; remedy: what makes it of use, if anything
    """

    parts: Parts
    kind: str
    remedy: str = ""


@dataclass
class Listing:
    """files, folders: what there is, hidden ones excepted; left_out: what is neither."""

    files: list[File] = field(default_factory=list)
    folders: set[Parts] = field(default_factory=set)
    left_out: list[LeftOut] = field(default_factory=list)


def list_folder(root: Path) -> Listing:
    """What is below a folder. Links are followed after all else, and nothing is read twice."""
    listing = Listing()
    links: list[tuple[Parts, str]] = []
    seen: set[tuple[int, int]] = set()
    _walk(root, (), "", listing, links, seen)
    while links:
        links.sort(reverse=True)
        parts, place = links.pop()
        if _identity(root / place) in seen:
            listing.left_out.append(LeftOut(parts, READ_BEFORE))
        else:
            listing.folders.add(parts)
            _walk(root, parts, place, listing, links, seen)
    listing.files.sort()
    listing.left_out.sort(key=lambda item: item.parts)
    return listing


def _walk(
    root: Path,
    parts: Parts,
    place: str,
    listing: Listing,
    links: list[tuple[Parts, str]],
    seen: set[tuple[int, int]],
) -> None:
    waiting = [(parts, place)]
    while waiting:
        parts, place = waiting.pop()
        try:
            seen.add(_identity(root / place))
            with os.scandir(root / place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            listing.left_out.append(LeftOut(parts, CLOSED))
            continue
        for entry in entries:
            if not _seen(entry.name):
                continue
            inner, at = (*parts, shown(entry.name)), os.path.join(place, entry.name)  # noqa: PTH118, no Path for each
            if entry.is_dir(follow_symlinks=False):
                listing.folders.add(inner)
                waiting.append((inner, at))
                continue
            if entry.is_file(follow_symlinks=False):  # known from the folder itself, without a look at the file
                listing.files.append(File(inner, at))
                continue
            try:
                mode = entry.stat().st_mode
            except OSError:  # the link's target is not there, or is the link
                listing.left_out.append(LeftOut(inner, NOWHERE))
                continue
            if stat.S_ISDIR(mode):
                links.append((inner, at))
            elif stat.S_ISREG(mode):
                listing.files.append(File(inner, at))
            else:
                listing.left_out.append(LeftOut(inner, NO_FILES))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def list_zip(archive: zipfile.ZipFile) -> Listing:
    """What is in a zip. Backslashes separate folders, as some programs for Windows write them.

    Members whose path is absolute, or goes up, are left out.
    """
    listing = Listing()
    files: dict[Parts, str] = {}
    for member in archive.infolist():
        name = _member_name(member).replace("\\", "/")
        parts = tuple(shown(part) for part in name.split("/") if part not in ("", "."))
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts:
            listing.left_out.append(LeftOut(parts, OUTSIDE))
        elif parts and all(map(_seen, parts)):
            is_folder = name.endswith("/")
            listing.folders.update(parts[:n] for n in range(1, len(parts) + is_folder))
            if stat.S_ISLNK(member.external_attr >> 16):
                listing.left_out.append(LeftOut(parts, ZIPPED_LINKS))
            elif not is_folder:
                files[parts] = member.filename  # of several of one name, the last is what unpacking would leave
    listing.files = sorted(File(parts, place) for parts, place in files.items())
    return listing


def _member_name(member: zipfile.ZipInfo) -> str:
    """A member's name; macOS writes UTF-8 and does not say so, which zipfile takes for the code of old PCs."""
    if member.flag_bits & _UTF8_NAME or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _seen(name: str) -> bool:
    return not name.startswith(".") and name not in _UNSEEN


def summary(left_out: Sequence[LeftOut]) -> str:
    """What is left out, in a few words: "17 files are left out: 12 .heic (...), 5 .txt"; "" where nothing is.

    Where the kind is no suffix, the first of them is named.
    """
    if not left_out:
        return ""
    kinds: dict[tuple[str, str], list[LeftOut]] = {}
    for item in left_out:
        kinds.setdefault((item.kind, item.remedy), []).append(item)
    words = []
    for (kind, remedy), items in sorted(kinds.items(), key=lambda one: (-len(one[1]), one[0])):
        first = "" if kind.startswith(".") else "/".join(items[0].parts) + (", ..." if len(items) > 1 else "")
        note = "; ".join(part for part in (first, remedy) if part)
        words.append(f"{len(items)} {kind}" + (f" ({note})" if note else ""))
    count = len(left_out)
    return f"{count} {'file is' if count == 1 else 'files are'} left out: {', '.join(words)}"
