"""Which networks the original implementation published, by id; and their files, in a cache folder.

Without torch and without the networks, so that every command can ask whether a name is an id.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ofa.errors import InputError
from ofa.reading.structured import read_json
from ofa.runs.files import replace_file, sha256, write_json
from ofa.runs.lock import Lock

# where the original implementation downloads from since 2022; big files are served by GitHub's LFS host
BASE_URLS = (
    "https://raw.githubusercontent.com/han-cai/files/master/ofa",
    "https://media.githubusercontent.com/media/han-cai/files/master/ofa",
)
TIMEOUT_S = 30
KINDS = ("supernet", "specialized", "predictor")
CHECKSUMS_FILE = "checksums.json"

# id, the space it is of, and its file
_SUPERNETS = (
    ("ofa_mbv3_d234_e346_k357_w1.0", "mbv3-w1.0", "ofa_mbv3_d234_e346_k357_w1.0"),
    ("ofa_mbv3_d234_e346_k357_w1.2", "mbv3-w1.2", "ofa_mbv3_d234_e346_k357_w1.2"),
    ("ofa_proxyless_d234_e346_k357_w1.3", "proxyless-w1.3", "ofa_proxyless_d234_e346_k357_w1.3"),
    ("ofa_resnet50", "resnet50d", "ofa_resnet50_d0-1-2_e0.2-0.25-0.35_w0.65-0.8-1.0"),
)
_PREDICTORS = (
    ("acc_predictor", "mbv3-w1.2", "acc_predictor.pth"),
    ("ofa_resnet50_acc_predictor", "resnet50d", "ofa_resnet50_acc_predictor.pth"),
)
_SPECIALIZED = """
flops@595M_top1@80.0_finetune@75 flops@482M_top1@79.6_finetune@75 flops@389M_top1@79.1_finetune@75
resnet50D_MAC@4.1B_top1@79.8 resnet50D_MAC@3.7B_top1@79.7 resnet50D_MAC@3.0B_top1@79.3
resnet50D_MAC@2.4B_top1@79.0 resnet50D_MAC@1.8B_top1@78.3 resnet50D_MAC@1.2B_top1@77.1_finetune@25
resnet50D_MAC@0.9B_top1@76.3_finetune@25 resnet50D_MAC@0.6B_top1@75.0_finetune@25
pixel1_lat@143ms_top1@80.1_finetune@75 pixel1_lat@132ms_top1@79.8_finetune@75 pixel1_lat@79ms_top1@78.7_finetune@75
pixel1_lat@58ms_top1@76.9_finetune@75 pixel1_lat@40ms_top1@74.9_finetune@25 pixel1_lat@28ms_top1@73.3_finetune@25
pixel1_lat@20ms_top1@71.4_finetune@25
pixel2_lat@62ms_top1@75.8_finetune@25 pixel2_lat@50ms_top1@74.7_finetune@25 pixel2_lat@35ms_top1@73.4_finetune@25
pixel2_lat@25ms_top1@71.5_finetune@25
note10_lat@64ms_top1@80.2_finetune@75 note10_lat@50ms_top1@79.7_finetune@75 note10_lat@41ms_top1@79.3_finetune@75
note10_lat@30ms_top1@78.4_finetune@75 note10_lat@22ms_top1@76.6_finetune@25 note10_lat@16ms_top1@75.5_finetune@25
note10_lat@11ms_top1@73.6_finetune@25 note10_lat@8ms_top1@71.4_finetune@25
note8_lat@65ms_top1@76.1_finetune@25 note8_lat@49ms_top1@74.9_finetune@25 note8_lat@31ms_top1@72.8_finetune@25
note8_lat@22ms_top1@70.4_finetune@25
s7edge_lat@88ms_top1@76.3_finetune@25 s7edge_lat@58ms_top1@74.7_finetune@25 s7edge_lat@41ms_top1@73.1_finetune@25
s7edge_lat@29ms_top1@70.5_finetune@25
LG-G8_lat@24ms_top1@76.4_finetune@25 LG-G8_lat@16ms_top1@74.7_finetune@25 LG-G8_lat@11ms_top1@73.0_finetune@25
LG-G8_lat@8ms_top1@71.1_finetune@25
1080ti_gpu64@27ms_top1@76.4_finetune@25 1080ti_gpu64@22ms_top1@75.3_finetune@25
1080ti_gpu64@15ms_top1@73.8_finetune@25 1080ti_gpu64@12ms_top1@72.6_finetune@25
v100_gpu64@11ms_top1@76.1_finetune@25 v100_gpu64@9ms_top1@75.3_finetune@25 v100_gpu64@6ms_top1@73.0_finetune@25
v100_gpu64@5ms_top1@71.6_finetune@25
tx2_gpu16@96ms_top1@75.8_finetune@25 tx2_gpu16@80ms_top1@75.4_finetune@25 tx2_gpu16@47ms_top1@72.9_finetune@25
tx2_gpu16@35ms_top1@70.3_finetune@25
cpu_lat@17ms_top1@75.7_finetune@25 cpu_lat@15ms_top1@74.6_finetune@25 cpu_lat@11ms_top1@72.0_finetune@25
cpu_lat@10ms_top1@71.1_finetune@25
"""
_ID = re.compile(
    r"(?P<device>[^_]+)_(?:lat|gpu(?P<batch>\d+)|MAC)?@?(?P<number>[\d.]+)(?P<unit>ms|M|B)"
    r"_top1@(?P<top1>[\d.]+)(?:_finetune@(?P<epochs>\d+))?"
)


@dataclass(frozen=True)
class ZooEntry:
    """One published thing. What a specialised network's id says is published by its authors, not measured here.

    id: as published; "-" may stand for "@"
    kind: "supernet", "specialized" or "predictor"
    space: the search space of a supernet or predictor, "" for specialised networks (their net.config says)
    files: relative to the base URL and to the cache folder
    device: what it was specialised for, with the batch size where that is not 1; "MACs" where it is for no device
    cost: "16 ms" on that device, or MACs such as "595M"
    top1: ImageNet top-1, per cent; 0 where not stated
    """

    id: str
    kind: str
    space: str
    files: tuple[str, ...]
    device: str = ""
    cost: str = ""
    top1: float = 0.0


def entries() -> tuple[ZooEntry, ...]:
    """Everything in the zoo: four supernets, 58 specialised networks, two accuracy predictors."""
    found = [ZooEntry(id_, "supernet", space, (f"ofa_nets/{file}",)) for id_, space, file in _SUPERNETS]
    found += [_specialized(id_) for id_ in _SPECIALIZED.split()]
    found += [ZooEntry(id_, "predictor", space, (file,)) for id_, space, file in _PREDICTORS]
    return tuple(found)


def _specialized(id_: str) -> ZooEntry:
    match = _ID.fullmatch(id_.replace("flops@", "flops_@"))
    assert match is not None, id_
    folder = "ofa_specialized/" + id_.replace("@", "-")
    files = tuple(f"{folder}/{name}" for name in ("net.config", "run.config", "init"))
    device = "MACs" if match["unit"] != "ms" else match["device"]
    if match["batch"]:
        device += f", batch {match['batch']}"
    unit = " ms" if match["unit"] == "ms" else match["unit"]
    return ZooEntry(id_, "specialized", "", files, device, match["number"] + unit, float(match["top1"]))


def find(id_: str) -> ZooEntry:
    """The entry of that id; InputError says how to list them."""
    for entry in entries():
        if id_.replace("@", "-") == entry.id.replace("@", "-"):
            return entry
    raise InputError(f"unknown network {id_!r}: python -m ofa.zoo list shows all ids")


def cache_folder() -> Path:
    """$OFA_ZOO_CACHE, else ofa/zoo in $XDG_CACHE_HOME or ~/.cache."""
    if os.environ.get("OFA_ZOO_CACHE"):
        return Path(os.environ["OFA_ZOO_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ofa" / "zoo"


def fetch(id_: str, *, base_url: str | None = None, cache: str | os.PathLike[str] | None = None) -> Path:
    """The file of a supernet or predictor, or the folder of a specialised network, downloading what is not there.

    base_url: instead of the public ones (or $OFA_ZOO_URL): any mirror of the same files, "file:///..." included
    Raises InputError for an unknown id, where nothing can be downloaded, and where a file is not what it was.
    """
    entry = find(id_)
    folder = cache_folder() if cache is None else Path(cache)
    given = base_url or os.environ.get("OFA_ZOO_URL")
    for file in entry.files:
        _fetch_file(file, (given,) if given else BASE_URLS, folder)
    first = folder / entry.files[0]
    return first.parent if entry.kind == "specialized" else first


def file_or_fetched(text: str) -> Path:
    """The path that an option names: a file or folder, or where the network of an id of the zoo is.

    ValueError where that network was not downloaded yet: what a command reads is fetched by name, not by the way.
    """
    path = Path(text)
    entry = next((e for e in entries() if text.replace("@", "-") == e.id.replace("@", "-")), None)
    if path.exists() or entry is None:
        return path
    if not all((cache_folder() / file).is_file() for file in entry.files):
        raise ValueError(
            f"{entry.id} is of the zoo, and was not fetched into {cache_folder()} yet: "
            f"python -m ofa.zoo fetch {entry.id}, then give it again"
        )
    return fetch(entry.id)


def published_space(path: Path) -> str:
    """The space of the zoo's file of that name, "" where it has none: a hint, since a name proves nothing."""
    return next((e.space for e in entries() if e.space and Path(e.files[0]).name == path.name), "")


# ---- files


def _fetch_file(file: str, bases: Sequence[str], folder: Path) -> None:
    target = folder / file
    expected = _read_checksums(folder).get(file)
    if target.is_file():
        digest = sha256(target)
        if expected not in (None, digest):
            raise InputError(f"{target} has changed since it was downloaded: delete it to download it again")
    else:
        with Lock(target):
            digest = _download(file, bases, target, expected)
    if expected is None:
        with Lock(folder / CHECKSUMS_FILE):
            found = {**_read_checksums(folder), file: digest}
            write_json(folder / CHECKSUMS_FILE, dict(sorted(found.items())))


def _download(file: str, bases: Sequence[str], target: Path, expected: str | None) -> str:
    """The file's SHA-256. InputError where it cannot be had, or is another than before."""
    reasons = []
    for base in bases:
        url = f"{base.rstrip('/')}/{file}"
        try:
            replace_file(target, partial(_copy, url, expected))
            return sha256(target)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            reasons.append(f"{url}: {getattr(error, 'reason', None) or error}")
    raise InputError(
        "cannot download " + "; ".join(reasons) + f". Without a network, put the file at {target}, "
        "or name a mirror with --base-url (file:///... too)"
    )


def _copy(url: str, expected: str | None, to: Path) -> None:
    """ValueError where it is only a pointer to the file, InputError where it is not whole, or another."""
    import urllib.request  # slow, and every command looks at ids

    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as source, to.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
        size = source.headers.get("Content-Length")
    if size is not None and int(size) != to.stat().st_size:
        raise InputError(f"{url}: the connection broke off, {to.stat().st_size} of {size} bytes came")
    if _is_lfs_pointer(to):
        raise ValueError("a pointer to the file, not the file")
    if expected is not None and (digest := sha256(to)) != expected:
        raise InputError(f"{url} is not the file that was downloaded before: its SHA-256 is {digest}")


def _is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(20) == b"version https://git-"


def _read_checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS_FILE
    if not path.exists():
        return {}
    try:
        return read_json(path)
    except InputError as error:
        raise InputError(f"{error}: delete it to record the checksums of the files there anew") from None
