"""Hostile and odd inputs, over every format: what is in circulation, and what someone could make of it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .formats import FORMATS, metadata_of, picture, safetensors, with_metadata

Edit = Callable[[dict[str, bytes]], dict[str, bytes]]
DIGITS = "9" * 5000
WIDE = "\uff11\uff10"  # full-width 10, which Python's int takes


@dataclass(frozen=True)
class Case:
    """An input, made of a sound one. must: whether it has to be refused, rather than believed if it is sound."""

    format: str
    name: str
    edit: Edit
    must: bool = True

    def __str__(self) -> str:
        return f"{self.format}-{self.name}"


def cases() -> Iterator[Case]:
    """All of them."""
    for name in ("table", "times", "accuracies"):
        yield from _csv(name, FORMATS[name].name)
    for name, file in JSON.items():
        yield from _json(name, file)
    for name, edits in SPECIAL.items():
        for what, edit in edits.items():
            yield Case(name, what, edit)
    for name, edits in ODD.items():
        for what, edit in edits.items():
            yield Case(name, what, edit, must=False)
    for name, file in BINARY.items():
        yield from _binary(name, file)


# ---- edits


def _with(file: str, change: Callable[[bytes], bytes], files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, file: change(files[file])}


def put(file: str, content: bytes | str) -> Edit:
    """Another content of a file."""
    data = content.encode() if isinstance(content, str) else content
    return lambda files: {**files, file: data}


def swap(file: str, old: str, new: str) -> Edit:
    """The first `old` of a file is `new`."""

    def change(content: bytes) -> bytes:
        assert old.encode() in content, f"{file} has no {old}"
        return content.replace(old.encode(), new.encode("utf-8", "surrogateescape"), 1)

    return partial(_with, file, change)


def without(file: str) -> Edit:
    return lambda files: {name: content for name, content in files.items() if name != file}


GONE = object()
CONV = "conv"


def at(file: str, *path: Any, value: Any) -> Edit:
    """JSON with another value at a path; GONE: without the key."""

    def change(content: bytes) -> bytes:
        whole = json.loads(content)
        inner = whole
        for key in path[:-1]:
            inner = inner[key]
        if value is GONE:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
        return json.dumps(whole).encode()

    return partial(_with, file, change)


def lies(file: str, **changes: Any) -> Edit:
    """A safetensors file with other metadata."""
    return partial(_with, file, lambda content: with_metadata(content, **changes))


def config_lies(file: str, **changes: Any) -> Edit:
    """A safetensors file whose metadata's `config` says something else."""

    def change(content: bytes) -> bytes:
        config = json.loads(metadata_of(content)["config"])
        return with_metadata(
            content, config=json.dumps({k: v for k, v in {**config, **changes}.items() if v is not GONE})
        )

    return partial(_with, file, change)


def images_lie(file: str, **changes: Any) -> Edit:
    def change(content: bytes) -> bytes:
        facts = json.loads(metadata_of(content)["images"])
        return with_metadata(
            content, images=json.dumps({k: v for k, v in {**facts, **changes}.items() if v is not GONE})
        )

    return partial(_with, file, change)


def line(file: str, number: int, /, **changes: Any) -> Edit:
    """A line of JSON Lines with other fields."""

    def change(content: bytes) -> bytes:
        lines = content.splitlines()
        record = {k: v for k, v in {**json.loads(lines[number]), **changes}.items() if v is not GONE}
        return b"\n".join([*lines[:number], json.dumps(record).encode(), *lines[number + 1 :], b""])

    return partial(_with, file, change)


# ---- what every format of a kind gets


def _csv(name: str, file: str) -> Iterator[Case]:
    yield Case(name, "empty", put(file, ""))
    yield Case(name, "spaces", put(file, " \n \n"))
    yield Case(name, "zero-byte", swap(file, ",", ",\0"))
    yield Case(name, "lone-cr", swap(file, "\n", "\r"))
    yield Case(name, "all-cr", partial(_with, file, lambda content: content.replace(b"\n", b"\r")))
    yield Case(name, "utf-16", partial(_with, file, lambda content: content.decode().encode("utf-16")))
    yield Case(name, "latin-1", swap(file, "\n", " \udcfc\n"))
    yield Case(name, "png", put(file, picture()))
    yield Case(name, "json", put(file, '{"a": 1}'))
    yield Case(name, "long-field", partial(_with, file, lambda content: content + b"x" * 200_000 + b"\n"))
    yield Case(name, "open-quote", partial(_with, file, lambda content: content + b'"\n'))
    yield Case(name, "header-only", partial(_with, file, _header_only))
    yield Case(name, "column-twice", partial(_with, file, _column_twice))
    yield Case(name, "many-columns", partial(_with, file, lambda content: content + b",".join([b"x"] * 5000) + b"\n"))
    yield Case(name, "odd-column", partial(_with, file, partial(_column, "\x1b[31m\u202e")), must=False)
    yield Case(name, "long-column", partial(_with, file, partial(_column, "c" * 3000 + "_ms")), must=False)
    yield Case(name, "bom", partial(_with, file, lambda content: b"\xef\xbb\xbf" + content), must=False)
    yield Case(name, "crlf", partial(_with, file, lambda content: content.replace(b"\n", b"\r\n")), must=False)
    yield Case(name, "cut", partial(_with, file, lambda content: content[:-20]))


def _header_only(content: bytes) -> bytes:
    return b"".join(row for row in content.splitlines(keepends=True) if row.startswith(b"#"))


def _column_twice(content: bytes) -> bytes:
    rows = content.split(b"\n")
    first = next(i for i, row in enumerate(rows) if not row.startswith(b"#"))
    cells = rows[first].split(b",")
    return b"\n".join([*rows[:first], b",".join([cells[0], *cells[:-1]]), *rows[first + 1 :]])


def _column(name: str, content: bytes) -> bytes:
    """One more column, empty."""
    rows = []
    for row in content.split(b"\n"):
        head = row.startswith((b"op,", b"space,", b"resolution,"))
        rows.append(row if not row or row.startswith(b"#") else row + b"," + (name.encode() if head else b""))
    return b"\n".join(rows)


def _json(name: str, file: str) -> Iterator[Case]:
    for what, text in {
        "empty": "",
        "deep": "[" * 100_000 + "]" * 100_000,
        "deep-object": '{"a":' * 5000 + "1" + "}" * 5000,
        "huge-integer": f'{{"a": {DIGITS}}}',
        "nan": '{"a": NaN}',
        "beyond": '{"a": 1e999}',
        "twice": '{"a": 1, "a": 2}',
        "list": "[1]",
        "number": "7",
        "true": "true",
        "null": "null",
        "text": '"x"',
        "cut": '{"a": [1, 2',
        "object": "{}",
        "surrogate": '{"\\ud800": "\\udfff"}',
        "escapes": '{"\\u001b[2J\\u202e": 1}',
    }.items():
        yield Case(name, what, put(file, text))
    yield Case(name, "not-utf-8", put(file, b'{"a": "\xff"}'))
    yield Case(name, "zero-byte", put(file, b'{"a"\0: 1}'))
    yield Case(name, "many-keys", put(file, json.dumps({f"k{i}": i for i in range(20_000)})))


def _binary(name: str, file: str) -> Iterator[Case]:
    yield Case(name, "binary-empty", put(file, b""))
    yield Case(name, "binary-one-byte", put(file, b"P"))
    yield Case(name, "binary-pickle", put(file, pickle.dumps({"a": 1})))
    yield Case(name, "binary-png", put(file, picture()))
    yield Case(name, "binary-csv", put(file, "a,b\n1,2\n"))
    yield Case(name, "binary-cut", partial(_with, file, lambda content: content[: len(content) // 2]))
    yield Case(name, "binary-end-cut", partial(_with, file, lambda content: content[:-1]))
    yield Case(name, "binary-zeros", partial(_with, file, lambda content: bytes(len(content))))


JSON = {
    "result": "result.json",
    "subnet": "subnet.json",
    "mit-subnet": "subnet.json",
    "predictor": "predictor.json",
    "ensemble": "predictor.json",
    "network": "network/network.json",
    "mit-network": "network/net.config",
    "net-config": "network/net.config",
    "recipe": "recipe.json",
    "run": "run.json",
    "label-names": "labels.json",
}
BINARY = {
    "predictor": "predictor.safetensors",
    "mit-predictor": "predictor.pth",
    "supernet": "supernet.safetensors",
    "network": "network/network.safetensors",
    "network-file": "network.safetensors",
    "mit-network": "network/init",
    "weights": "weights.pth",
    "state": "state.safetensors",
    "zip": "images.zip",
}


# ---- what only one format can say


def _safetensors_cases(file: str) -> dict[str, Edit]:
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return {
        "length-beyond": put(file, struct.pack("<Q", 1 << 40) + b"{" + b"a" * 100),
        "shape-1e9": put(file, safetensors({"a": {**tensor, "shape": [10**9, 10**9]}}, bytes(8))),
        "shape-negative": put(file, safetensors({"a": {**tensor, "shape": [-1]}}, bytes(8))),
        "offsets-backwards": put(file, safetensors({"a": {**tensor, "data_offsets": [8, 0]}}, bytes(8))),
        "dtype-unknown": put(file, safetensors({"a": {**tensor, "dtype": "F9"}}, bytes(8))),
        "metadata-number": put(file, safetensors({"__metadata__": {"format": 1}, "a": tensor}, bytes(8))),
        "no-tensors": put(file, safetensors({"__metadata__": {"format": "ofa-supernet/1"}})),
    }


def _rows(old: str, *news: str) -> dict[str, Edit]:
    return {f"latency-{new[:12]}": swap("times.csv", old, new) for new in news}


def torch_file(content: Any) -> Edit:
    """The main file is a torch.save of something else."""

    def change(_: bytes) -> bytes:
        import torch

        file = io.BytesIO()
        torch.save(content() if callable(content) else content, file)
        return file.getvalue()

    return lambda files: {name: change(data) if name.endswith(".pth") else data for name, data in files.items()}


def _tensors(**shapes: Any) -> Callable[[], dict[str, Any]]:
    def made() -> dict[str, Any]:
        import torch

        return {
            name.replace("_", "."): torch.ones(shape) if isinstance(shape, tuple) else shape(torch)
            for name, shape in shapes.items()
        }

    return made


class Code:
    """What a pickle would run."""

    def __reduce__(self) -> Any:
        return (Path("/tmp/never").touch, ())


def compressed(files: dict[str, bytes]) -> dict[str, bytes]:
    """torch's file with its entries packed: 6 MB become 6 GB."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files["weights.pth"])) as source, zipfile.ZipFile(target, "w", 8) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    return {"weights.pth": target.getvalue()}


def _laughs() -> str:
    """Ten lists of ten of the one before, nine times: a thousand million, in a kilobyte."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    return "\n".join(rows) + "\n"


def tensor(name: str, change: Callable[[Any], Any]) -> Edit:
    """A predictor with another tensor, and the digest that goes with it."""

    def changed(files: dict[str, bytes]) -> dict[str, bytes]:
        from safetensors.numpy import load, save

        tensors = load(files[P])
        data = save({**tensors, name: change(tensors[name])})
        header = {**json.loads(files[PJ]), "sha256": hashlib.sha256(data).hexdigest()}
        return {P: data, PJ: json.dumps(header).encode()}

    return changed


def disks(file: str) -> Edit:
    """A zip that says that it is one of two."""
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 2)
    return partial(_with, file, lambda content: content[:-22] + locator + content[-22:])


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> Edit:
    def change(_: dict[str, bytes]) -> dict[str, bytes]:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return {"images.zip": file.getvalue()}

    return change


T, N, A = "table.csv", "times.csv", "accuracies.csv"
P, PJ = "predictor.safetensors", "predictor.json"
R, S = "result.json", "subnet.json"
SUPER, NET, NETJ, MIT = "supernet.safetensors", "network.safetensors", "network/network.json", "network/net.config"
J, L, Y = "run.journal.jsonl", "lines", "published.yaml"
RUN = "network/run.config"

SPECIAL: dict[str, dict[str, Edit]] = {
    "table": {
        "gone": without(T),
        "schema-2": swap(T, "# schema: 1", "# schema: 2"),
        "rows-lie": swap(T, "# rows: ", "# rows: 1"),
        "rows-wide": swap(T, "# rows: ", f"# rows: {WIDE}"),
        "rows-twice": swap(T, "# rows: ", "# rows: 5\n# rows: "),
        "rows-5000-digits": swap(T, "# rows: ", f"# rows: {DIGITS}"),
        "near-miss": swap(T, "# batch: 1", "# Batch: 1"),
        "batch-zero": swap(T, "# batch: 1", "# batch: 0"),
        "batch-underscore": swap(T, "# batch: 1", "# batch: 1_0"),
        "batch-huge": swap(T, "# batch: 1", f"# batch: {DIGITS}"),
        "provenance": swap(T, "measured", "guessed"),
        "emulated": swap(T, "# batch: 1", "# emulated: maybe"),
        "omits": swap(T, "# batch: 1", "# omits: everything"),
        "escape": swap(T, "# device: D", "# device: \x1b]0;x\x07"),
        "direction": swap(T, "# device: D", "# device: \u202eD"),
        "long-odd-key": swap(T, "# device: D", f"# device: D\n# {'k' * 2000}\x07: {'v' * 2000}"),
        "no-device": swap(T, "# device: D\n", ""),
        "scale-minus": swap(T, "scale=1.1", "scale=-1"),
        "scale-1e300": swap(T, "scale=1.1", "scale=1e300"),
        "scale-underscore": swap(T, "scale=1.1", "scale=1_000"),
        "scale-twice": swap(T, "scale=1.1", "scale=1.1 scale=1.2"),
        "weights-1e9": swap(T, "calls=0", "weights=-1e9"),
        "calls-negative-sum": swap(T, "calls=0", "calls=-100"),
        "term-unknown": swap(T, "calls=0", "magic=1"),
        "correction-long": swap(T, "scale=1.1", "x" * 5000),
        "latency-nan": swap(T, ",0.0,", ",nan,"),
        "mad-negative": swap(T, ",0.0,", ",-1,"),
        "size-wide": swap(T, "conv,64", f"conv,{WIDE}"),
        "size-huge": swap(T, "conv,64", "conv,1000000000"),
        "op-unknown": swap(T, "\nconv,", "\nconvolution\x1b,"),
        "block-twice": partial(_with, T, lambda content: content + content.splitlines(keepends=True)[-1]),
    },
    "times": {
        **_rows("20.5", "nan", "inf", "-1", "0", "1e300", "1_0", WIDE, DIGITS, "", "20,5"),
        "seconds": swap(N, "20.5", "0.0205"),
        "no-column": swap(N, "latency_ms", "latency"),
        "resolution-1e9": swap(N, "\nmbv3-w0.35,64", "\nmbv3-w0.35,1000000000"),
        "space-unknown": swap(N, "\nmbv3-w0.35,", f"\n{'x' * 3000},"),
        "space-wide": swap(N, "\nmbv3-w0.35,", "\nmbv3-w\uff11.0,"),
        "space-digits": swap(N, "\nmbv3-w0.35,", f"\nmbv3-w{DIGITS},"),
        "network-twice": partial(_with, N, lambda content: content + content.splitlines(keepends=True)[-1]),
        "header-near-miss": swap(N, "# device: D", "# device: D\n# Emulated: yes"),
        "kernel-9": swap(N, ",7 ", ",9 "),
        "odd-columns": swap(N, "latency_ms", "\x1b_ms,b_ms"),
    },
    "accuracies": {
        **{f"top1-{new[:10]}": swap(A, "60.25", new) for new in ("nan", "101", "-1", "1e3", "6_0", WIDE, DIGITS, "")},
        "fractions": partial(_with, A, lambda content: content.replace(b",60.25", b",0.6025")),
        "other-space": swap(A, '"mbv3-w0.35"', '"mbv3-w1.0"'),
        "space-number": swap(A, '"mbv3-w0.35"', "35"),
        "space-long": swap(A, '"mbv3-w0.35"', json.dumps("y\x1b" * 3000)),
        "rows-lie": swap(A, "rows: 130", "rows: 131"),
        "rows-text": swap(A, "rows: 130", 'rows: "130"'),
        "rows-deep": swap(A, "rows: 130", "rows: " + "[" * 70_000),
        "facts-cut": swap(A, '"classes"', '"classes'),
        "images-number": swap(A, "image_facts: {", "image_facts: 5\n# x: {"),
        "mean-text": swap(A, "[0.5, 0.5, 0.5]", '"abc"'),
        "classes-twice": swap(A, '["a", "b"]', '["a", "a"]'),
        "resolution-float": swap(A, "\n64,", "\n64.5,"),
        "depth-9": swap(A, "\n64,", "\n64,9 "),
    },
    "predictor": {
        "no-header": without(PJ),
        "sha256": at(PJ, "sha256", value="00"),
        "schema": at(PJ, "schema", value="x\x1b" * 2000),
        "resolutions-text": at(PJ, "resolutions", value=["6_4", WIDE]),
        "resolutions-floats": at(PJ, "resolutions", value=[64.5, 96]),
        "resolutions-many": at(PJ, "resolutions", value=list(range(100_000))),
        "resolutions-none": at(PJ, "resolutions", value=[]),
        "resolutions-huge": at(PJ, "resolutions", value=[64, 10**30]),
        "choices": at(PJ, "choices", value={"family": "x"}),
        "choices-list": at(PJ, "choices", value=[1]),
        "uncertainty-number": at(PJ, "uncertainty", value=5),
        "uncertainty-text": at(PJ, "uncertainty", value={"noise": ["0.1"], "scale": "1"}),
        "scale-text": at(PJ, "uncertainty", "scale", value="1"),
        "scale-negative": at(PJ, "uncertainty", "scale", value=-1),
        "scale-1e300": at(PJ, "uncertainty", "scale", value=1e300),
        "noise-text": at(PJ, "uncertainty", "noise", 0, value="0.1"),
        "noise-negative": at(PJ, "uncertainty", "noise", 0, value=-0.1),
        "interpolation-text": at(PJ, "uncertainty", "interpolation", value="x"),
        "uncertainty-more": at(PJ, "uncertainty", "magic", value=1),
        "weights-nan": tensor("hidden", lambda t: t * float("nan")),
        "weights-1e30": tensor("choices", lambda t: t * 0 + 1e30),
        "weights-whole": tensor("levels", lambda t: t.astype("int64")),
        "weights-shape": tensor("levels", lambda t: t[:, :2].copy()),
        "weights-none": tensor("choices", lambda t: t[:0].copy()),
        "knots": tensor("bend.knots", lambda t: t[::-1].copy()),
        "optimism-list": at(PJ, "optimism", value=[1]),
        "optimism-text": at(PJ, "optimism", value={"48": "1"}),
        "source-1e300": at(PJ, "source_sd", value={"48": 1e300}),
        "scale-number": at(PJ, "scale", value=5),
        "scale-list": at(PJ, "scale", value={"offset": [1], "sd": 1, "checked": "x"}),
        "scale-more": at(PJ, "scale", value={"x" * 2000: 1}),
        "resolutions-300": at(PJ, "resolutions", value=list(range(64, 364))),
        **_safetensors_cases(P),
    },
    "ensemble": {
        "features": at(PJ, "features", value=["a"] * 5000),
        "features-number": at(PJ, "features", value=5),
        "noise-short": at(PJ, "uncertainty", "noise", value=[0.1]),
        "levels-nan": tensor("levels", lambda t: t * float("nan")),
        "weights-1e30": tensor("members.0.weight.0", lambda t: t * 0 + 1e30),
        "weights-shape": tensor("members.0.weight.0", lambda t: t[:, :5].copy()),
        **_safetensors_cases(P),
    },
    "mit-predictor": {
        "gone": without("predictor.pth"),
        "tensor-list": torch_file([1, 2]),
        "scalar-weight": torch_file(_tensors(**{"0_weight": (), "0_bias": ()})),
        "three-dims": torch_file(_tensors(**{"0_weight": (1, 128, 1), "0_bias": (1,)})),
        "complex": torch_file(_tensors(**{"0_weight": lambda t: t.ones(1, 128) * 1j, "0_bias": (1,)})),
        "nan": torch_file(_tensors(**{"0_weight": lambda t: t.full((1, 128), float("nan")), "0_bias": (1,)})),
        "features": torch_file(_tensors(**{"0_weight": (1, 77), "0_bias": (1,)})),
        "no-outputs": torch_file(_tensors(**{"0_weight": (0, 128), "0_bias": (0,)})),
        "base-vector": torch_file(_tensors(base_acc=(5,), layers_0_weight=(1, 128))),
        "names": torch_file(_tensors(**{f"x{'y' * 500}\x1b{i}": (1,) for i in range(50)})),
        "code": torch_file({"0.weight": Code()}),
    },
    "result": {
        "results-none": at(R, "results", value=[]),
        "results-number": at(R, "results", value=3),
        "results-of-numbers": at(R, "results", value=[1, 2]),
        "subnet-gone": at(R, "results", 0, "subnet", value=GONE),
        "subnet-list": at(R, "results", 0, "subnet", value=[1]),
        "unknown-key": at(R, "results", 0, "subnet", "x\x1b" * 300, value=1),
        "unknown-keys": at(R, "results", 0, "subnet", value={"depths": [], **{f"k{i}" * 20: 1 for i in range(500)}}),
        "depths-text": at(R, "results", 0, "subnet", "depths", value="22222"),
        "depths-null": at(R, "results", 0, "subnet", "depths", value=None),
        "depths-object": at(R, "results", 0, "subnet", "depths", value={"a": "b" * 3000}),
        "depths-nested": at(R, "results", 0, "subnet", "depths", value=[[2] * 1000] * 5),
        "depths-true": at(R, "results", 0, "subnet", "depths", value=[True] * 5),
        "kernels-huge": at(R, "results", 0, "subnet", "kernel_sizes", value=[10**39] * 20),
        "kernels-many": at(R, "results", 0, "subnet", "kernel_sizes", value=[3] * 100_000),
        "resolution-text": at(R, "results", 0, "subnet", "resolution", value="64"),
        "resolution-list": at(R, "results", 0, "subnet", "resolution", value=[64, 64] * 500),
        "resolution-huge": at(R, "results", 0, "subnet", "resolution", value=10**39),
        "resolution-1e300": at(R, "results", 0, "subnet", "resolution", value=1e300),
        "resolution-half": at(R, "results", 0, "subnet", "resolution", value=64.5),
        "space-list": at(R, "space", value=["mbv3-w0.35"]),
        "space-long": at(R, "space", value="mbv3-\x1b" * 1000),
        "classes-text": at(R, "num_classes", value="10"),
        "limit-text": at(R, "results", 0, "limit_ms", value="20"),
        "latency-text": at(R, "results", 0, "latency_ms", value="19" * 1000),
        "latency-null": at(R, "results", 1, "latency_ms", value=None),
        "latency-negative": at(R, "results", 0, "latency_ms", value=-5),
        "latency-huge": at(R, "results", 0, "latency_ms", value=10**39),
        "top1-text": at(R, "results", 0, "predicted_top1", value="70"),
        "top1-1000": at(R, "results", 0, "predicted_top1", value=1000),
        "tables": at(R, "results", 0, "table", value="t\x1b" * 1000),
        "table-list": at(R, "results", 0, "table", value=["t"]),
        "images-list": at(R, "images", value=[1]),
        "mean-4": at(R, "images", "mean", value=[0.1, 0.2, 0.3, 0.4]),
        "mean-long": at(R, "images", "mean", value=[0.1] * 10_000),
        "mean-huge": at(R, "images", "mean", 0, value=1e300),
        "std-zero": at(R, "images", "std", 0, value=0),
        "std-true": at(R, "images", "std", 0, value=True),
        "crop": at(R, "images", "crop_ratio", value="0.875"),
        "resolution-of-images": at(R, "images", "resolution", value="64"),
        "smallest-crop": at(R, "images", "smallest_crop", value=[0.1]),
        "trained-on-keys": at(R, "images", "trained_on", value={"x" * 2000: 1}),
        "trained-on-kinds": at(
            R, "images", "trained_on", value={"name": 1, "images": "3", "names_sha256": None, "sample_sha256": []}
        ),
        "held-out": at(R, "images", "held_out", value={"count": "x", "seed": None, "sha256": 3}),
        "classes-numbers": at(R, "images", "classes", value=[1, 2]),
        "marks-text": at(R, "images", "marks", value="m" * 5000),
        "contents": at(R, "images", "contents", value=[{"size_bits": 65, "content_bits": 0, "hashes": ""}]),
        "hashes": at(R, "images", "contents", value=[{"size_bits": 0, "content_bits": 0, "hashes": 5}]),
        "hashes-text": at(R, "images", "contents", value=[{"size_bits": 0, "content_bits": 0, "hashes": "\u00fc"}]),
        "contents-many": at(
            R, "images", "contents", value=[{"size_bits": 0, "content_bits": 0, "hashes": "A" * 4_000_000}]
        ),
    },
    "subnet": {
        "space-null": at(S, "space", value=None),
        "gone": without(S),
        "classes": at(S, "num_classes", value=1.5),
    },
    "mit-subnet": {
        "w": at(S, "w", value=1.2),
        "unknown": at(S, "q" * 2000, value=1),
        "ks-text": at(S, "ks", value="3" * 20),
        "ks-object": at(S, "ks", value={"a" * 1000: 1}),
        "e-null": at(S, "e", value=None),
        "d-9": at(S, "d", value=9),
        "d-true": at(S, "d", value=True),
        "r-two": at(S, "r", value=[64] * 500),
        "r-text": at(S, "r", value="64\x1b" * 500),
        "r-gone": at(S, "r", value=GONE),
        "sizes-differ": at(S, "image_size", value=10**39),
    },
    "supernet": {
        "classes-1e9": config_lies(SUPER, num_classes=10**9),
        "classes-huge": config_lies(SUPER, num_classes=10**39),
        "classes-3": config_lies(SUPER, num_classes=3),
        "classes-text": config_lies(SUPER, num_classes="2"),
        "classes-half": config_lies(SUPER, num_classes=2.5),
        "classes-true": config_lies(SUPER, num_classes=True),
        "resolutions-text": config_lies(SUPER, resolutions=["64"]),
        "resolutions-one-text": config_lies(SUPER, resolutions="64"),
        "resolutions-many": config_lies(SUPER, resolutions=[64] * 100_000 + [1]),
        "resolutions-null": config_lies(SUPER, resolutions=None),
        "space-wider": config_lies(SUPER, space="mbv3-w4.0"),
        "space-list": config_lies(SUPER, space=["mbv3-w0.05"]),
        "space-other": config_lies(SUPER, space="resnet50d"),
        "space-long": config_lies(SUPER, space="z\x1b" * 3000),
        "widths": config_lies(SUPER, width_mults=[1.0]),
        "dropout-nan": config_lies(SUPER, dropout="nan"),
        "dropout-minus": config_lies(SUPER, dropout=-1),
        "dropout-1e300": config_lies(SUPER, dropout=1e300),
        "no-space": config_lies(SUPER, space=GONE),
        "no-config": lies(SUPER, config=None),
        "config-cut": lies(SUPER, config='{"space": "mbv3'),
        "config-list": lies(SUPER, config="[]"),
        "config-deep": lies(SUPER, config="[" * 5000),
        "config-digits": lies(SUPER, config=DIGITS),
        "format-unknown": lies(SUPER, format="ofa-supernet/9\x1b" * 300, config=None, images="[" * 5000),
        "images-deep": lies(SUPER, images="[" * 5000),
        "images-cut": lies(SUPER, images='{"mean"'),
        "images-mean": images_lie(SUPER, mean="0.5"),
        "training-list": lies(SUPER, training="[1]"),
        "training-cut": lies(SUPER, training="{"),
        "stages-number": lies(SUPER, training='{"stages": 5}'),
        "stages-of-numbers": lies(SUPER, training='{"stages": [1]}'),
        "stages-text": lies(SUPER, training='{"stages": [{"expands": "x"}]}'),
        "stages-negative": lies(SUPER, training='{"stages": [{"expands": -1}]}'),
        "stages-huge": lies(SUPER, training='{"stages": [{"expands": 1e300}]}'),
        **_safetensors_cases(SUPER),
    },
    "network": {
        "no-weights": without("network/network.safetensors"),
        "format": at(NETJ, "format", value="x"),
        "family": at(NETJ, "family", value="x" * 3000),
        "family-list": at(NETJ, "family", value=["mobilenet_v3"]),
        "layers-number": at(NETJ, "layers", value=5),
        "layers-of-numbers": at(NETJ, "layers", value=[1, 2]),
        "layers-text": at(NETJ, "layers", value="abc"),
        "layers-many": at(NETJ, "layers", value=[{}] * 100_000),
        "no-layers": at(NETJ, "layers", value=[]),
        "channels-1e9": at(NETJ, "layers", -1, "out_channels", value=10**9),
        "channels-1e5": at(NETJ, "layers", -1, "out_channels", value=10**5),
        "channels-text": at(NETJ, "layers", -1, "out_channels", value="2" * 3000),
        "channels-half": at(NETJ, "layers", -1, "out_channels", value=2.5),
        "size-1e9": at(NETJ, "layers", 0, "in_size", value=10**9),
        "field-unknown": at(NETJ, "layers", 0, "x\x1b" * 1000, value=1),
        "field-gone": at(NETJ, "layers", 0, "stride", value=GONE),
        "name-dots": at(NETJ, "layers", 0, "name", value="a.b"),
        "name-twice": at(NETJ, "layers", 1, "name", value="stem"),
        "eps-text": at(NETJ, "bn_eps", value="1e-5"),
        "dropout-5": at(NETJ, "dropout", value=5),
        "calibrated-text": at(NETJ, "calibrated", value="no"),
        "space-list": at(NETJ, "space", value=["x"]),
        "subnet-list": at(NETJ, "subnet", value=[1]),
        "subnet-keys": at(NETJ, "subnet", value={"x" * 3000: 1}),
        "subnet-kinds": at(NETJ, "subnet", "resolution", value="64"),
        "subnet-depths": at(NETJ, "subnet", "depths", value=[5000] * 5),
    },
    "network-file": {
        "no-config": lies(NET, config=None),
        "config-list": lies(NET, config="[]"),
        "config-deep": lies(NET, config="[" * 5000),
        "config-digits": lies(NET, config=DIGITS),
        "images": images_lie(NET, std=[0, 0, 0]),
        "images-resolution": images_lie(NET, resolution="x"),
        **_safetensors_cases(NET),
    },
    "mit-network": {
        "no-size": without(RUN),
        "size-text": at(RUN, "image_size", value="64" * 300),
        "size-1e9": at(RUN, "image_size", value=10**9),
        "size-zero": at(RUN, "image_size", value=0),
        "name": at(MIT, "name", value=["x"] * 3000),
        "classes-1e9": at(MIT, "classifier", "out_features", value=10**9),
        "classes-text": at(MIT, "classifier", "out_features", value="2"),
        "classes-half": at(MIT, "classifier", "out_features", value=2.5),
        "eps-text": at(MIT, "bn", "eps", value="x"),
        "eps-list": at(MIT, "bn", value=[1]),
        "dropout-text": at(MIT, "classifier", "dropout_rate", value="x"),
        "dropout-5": at(MIT, "classifier", "dropout_rate", value=5),
        "stem-1e9": at(MIT, "first_conv", "out_channels", value=10**9),
        "stem-null": at(MIT, "first_conv", value=None),
        "blocks-number": at(MIT, "blocks", value=5),
        "blocks-text": at(MIT, "blocks", value="x" * 3000),
        "blocks-of-numbers": at(MIT, "blocks", value=[1] * 3000),
        "mid-half": at(MIT, "blocks", 1, CONV, "mid_channels", value=8.5),
        "mid-text": at(MIT, "blocks", 1, CONV, "mid_channels", value="8"),
        "kernel-list": at(MIT, "blocks", 1, CONV, "kernel_size", value=[3] * 1000),
        "stride-true": at(MIT, "blocks", 1, CONV, "stride", value=[1]),
        "activation": at(MIT, "blocks", 1, CONV, "act_func", value="x\x1b" * 900),
    },
    "net-config": {
        "no-size": without(RUN),
        "size-text": at(RUN, "image_size", value="64"),
        "name-list": at(MIT, "name", value=["MobileNetV3"]),
        "classes-text": at(MIT, "classifier", "out_features", value="1000"),
        "classes-1e12": at(MIT, "classifier", "out_features", value=10**12),
        "stem-list": at(MIT, "first_conv", "out_channels", value=[8]),
        "blocks-none": at(MIT, "blocks", value=[]),
        "blocks-number": at(MIT, "blocks", value=7),
        "channels-list": at(MIT, "blocks", 1, CONV, "out_channels", value=[8]),
        "channels-text": at(MIT, "blocks", 1, CONV, "out_channels", value="8"),
        "stride-text": at(MIT, "blocks", 1, CONV, "stride", value="2" * 1000),
        "expand-gone": at(MIT, "blocks", 1, CONV, "expand_ratio", value=GONE),
        "expand-text": at(MIT, "blocks", 1, CONV, "expand_ratio", value="6" * 2000),
        "kernel-null": at(MIT, "blocks", 1, CONV, "kernel_size", value=None),
    },
    "weights": {
        "two-disks": disks("weights.pth"),
        "compressed": compressed,
        "expanded": torch_file(_tensors(a=lambda t: t.zeros(1).expand(10**9))),
        "integers": torch_file({1: 2}),
        "code": torch_file({"a": Code()}),
        "names": torch_file({"n\x1b" * 1000: 5}),
    },
    "state": {
        "format": lies("state.safetensors", format="x"),
        "facts-cut": lies("state.safetensors", facts="{"),
        "facts-deep": lies("state.safetensors", facts="[" * 5000),
        "facts-list": lies("state.safetensors", facts="[]"),
        **_safetensors_cases("state.safetensors"),
    },
    "journal": {
        "empty": put(J, b""),
        "blank": put(J, b"\n\n\n"),
        "png": put(J, picture()),
        "first-cut": partial(_with, J, lambda content: b"{" + content),
        "first-deep": partial(_with, J, lambda content: b"[" * 100_000 + b"\n" + content),
        "version-9": line(J, 0, journal_version=9),
        "version-list": line(J, 0, journal_version=[3]),
        "settings-list": line(J, 0, settings=[1]),
        "kind": line(J, 0, kind=["settings"]),
        "hello-kinds": line(J, 1, device=5),
        "facts": line(J, 1, device={"cpu_model": {"a": 1}}),
        "pass-text": line(J, 2, **{"pass": "0"}),
        "pass-huge": line(J, 2, **{"pass": 10**39}),
        "number-list": line(J, 2, number=[0]),
        "number-true": line(J, 2, number=True),
        "id-list": line(J, 2, id=["b00000"]),
        "samples-text": line(J, 2, samples_ns="1000"),
        "samples-huge": line(J, 2, samples_ns=[10**39]),
        "order-number": partial(_with, J, lambda content: content + b'{"kind": "pass", "number": 1, "order": 5}\n'),
        "order-list": partial(_with, J, lambda content: content + b'{"kind": "pass", "number": 1, "order": [[1]]}\n'),
    },
    "recipe": {
        "gone": without("recipe.json"),
        "no-stages": put("recipe.json", "[]"),
        "name-list": at("recipe.json", 0, "name", value=["a"] * 900),
        "name-path": at("recipe.json", 0, "name", value="../" * 300),
        "name-twice": at("recipe.json", 1, "name", value="a"),
        "unknown": at("recipe.json", 0, "x\x1b" * 900, value=1),
        "epochs-text": at("recipe.json", 0, "epochs", value="2" * 900),
        "epochs-1e39": at("recipe.json", 0, "epochs", value=10**39),
        "epochs-half": at("recipe.json", 0, "epochs", value=1.5),
        "epochs-true": at("recipe.json", 0, "epochs", value=True),
        "rate-1e300": at("recipe.json", 0, "learning_rate", value=1e300),
        "rate-huge": at("recipe.json", 0, "learning_rate", value=10**39),
        "subnets-1e9": at("recipe.json", 0, "subnets", value=10**9),
        "distill-huge": at("recipe.json", 0, "distill", value=1e300),
        "teacher-list": at("recipe.json", 0, "teacher", value=["first"] * 900),
        "sandwich-text": at("recipe.json", 0, "sandwich", value="yes" * 900),
    },
    "run": {
        "gone": without("run.json"),
        "seed-text": at("run.json", "seed", value="0" * 3000),
        "seed-deep": at("run.json", "seed", value=[[0] * 1000] * 20),
        "file-long": at("run.json", "data", value={"file": "x\x1b" * 2000, "sha256": [1] * 900}),
        "file-number": at("run.json", "data", value={"file": 5, "sha256": 6}),
        "stages": at("run.json", "stages", value={"0": 1}),
        "more": at("run.json", "k\x1b" * 900, value=1),
    },
    "tables-toml": {
        "empty": put("tables.toml", ""),
        "deep": put("tables.toml", "a = " + "[" * 5000),
        "digits": put("tables.toml", "a = " + DIGITS),
        "not-utf-8": put("tables.toml", b'a = "\xff"'),
        "table": put("tables.toml", "[table]\na = 1\n"),
        "file-path": swap("tables.toml", "a.csv", "../a.csv"),
        "file-number": swap("tables.toml", '"a.csv"', "5"),
        "args-text": swap("tables.toml", '["--space"', '["--spade"'),
        "args-numbers": swap("tables.toml", '["--space", "mbv3-w0.35"', "[1, 2"),
        "args-help": swap("tables.toml", '"64"]', '"64", "--help"]'),
        "file-long": swap("tables.toml", "a.csv", "a\\u001b" * 900),
        "profiler-list": swap("tables.toml", '"cpu"', '["cpu"]'),
        "profiler-long": swap("tables.toml", '"cpu"', '"' + "x\\u001b" * 900 + '"'),
        "args-many": swap("tables.toml", '"64"]', '"64", ' + ", ".join(['"x"'] * 5000) + "]"),
        "args-space": swap("tables.toml", "mbv3-w0.35", "mbv3-" + "w" * 3000),
        "args-resolution": swap("tables.toml", '"64"', '"1_0"'),
        "key-more": swap("tables.toml", "profiler", "x = 1\nprofiler"),
    },
    "published": {
        "empty": put(Y, ""),
        "not-utf-8": put(Y, b"a: \xff\n"),
        "list": put(Y, "- 1\n"),
        "deep": put(Y, "a: " + "[" * 400),
        "digits": swap(Y, "1.5", DIGITS),
        "date": swap(Y, "1.5", "2001-99-99"),
        "code": put(Y, "!!python/object/apply:os.system [false]"),
        "key-number": put(Y, "5: {mean: 1, std: 0}\n"),
        "key-list": put(Y, "? [1]\n: {mean: 1, std: 0}\n"),
        "key-long": put(Y, "x" * 3000 + ": {mean: 1, std: 0}\n"),
        "key-digits": swap(Y, "10x10x136", f"{DIGITS}x{DIGITS}x3"),
        "key-wide": swap(Y, "10x10x136", f"{WIDE}x{WIDE}x136"),
        "key-x": swap(Y, "10x10x136", "10xx136"),
        "zero-size": swap(Y, "10x10x136", "0x0x136"),
        "entry-list": swap(Y, "{mean: 1.5", "[{mean: 1.5"),
        "entry-text": put(Y, "a: " + "b" * 3000),
        "mean-nan": swap(Y, "1.5", ".nan"),
        "mean-inf": swap(Y, "1.5", ".inf"),
        "mean-true": swap(Y, "1.5", "yes"),
        "mean-negative": swap(Y, "1.5", "-1.5"),
        "mean-null": swap(Y, "1.5", "null"),
        "mean-underscore": swap(Y, "1.5", "'1_5'"),
        "mean-seconds": swap(Y, "1.5", "1.0e-12"),
        "std-negative": swap(Y, "0.1", "-0.1"),
        "std-gone": swap(Y, ", std: 0.1", ""),
        "count-negative": swap(Y, "count: 10", "count: -1"),
        "count-half": swap(Y, "count: 10", "count: 1.5"),
        "aliases": put(Y, _laughs()),
    },
    "lines": {
        "empty": put(L, ""),
        "no-hello": partial(_with, L, lambda content: content.split(b"\n", 1)[1]),
        "deep": put(L, "[" * 100_000 + "\n"),
        "digits": put(L, f'{{"type": "hello", "protocol": {DIGITS}}}\n'),
        "nan": put(L, '{"type": NaN}\n'),
        "twice": put(L, '{"type": "hello", "type": "done"}\n'),
        "binary": put(L, bytes(range(256)) * 40),
        "type-list": line(L, 0, type=["hello"]),
        "type-long": line(L, 0, type="x\x1b" * 5000),
        "protocol-text": line(L, 0, protocol="1" * 5000),
        "protocol-true": line(L, 0, protocol=True),
        "runtime-empty": line(L, 0, runtime=" "),
        "device-list": line(L, 0, device=[1]),
        "clock-1e300": line(L, 0, device={"clock_mhz": 1e300}),
        "fact-object": line(L, 0, device={"os": {"a": 1}}),
        "fact-long-list": line(L, 0, device={"os": [1] * 5000}),
        "visit-text": line(L, 3, visit="0"),
        "visit-digits": line(L, 3, visit=10**39),
        "id-list": line(L, 3, id=[1] * 1000),
        "samples-none": line(L, 3, samples_ns=[]),
        "samples-1e300": line(L, 3, samples_ns=[1e300] * 20),
        "samples-zero": line(L, 3, samples_ns=[0] * 20),
        "samples-true": line(L, 3, samples_ns=[True] * 20),
        "samples-year": line(L, 3, samples_ns=[10**17] * 20),
        "cpu-times": line(L, 3, cpu_ns=[10**12] * 20),
        "cpu-short": line(L, 3, cpu_ns=[900]),
        "calls-zero": line(L, 3, calls_per_sample=0),
        "calls-text": line(L, 3, calls_per_sample="1"),
        "temperature-text": line(L, 3, temperature_c_after="hot" * 5000),
        "throttling": line(L, 3, throttling="x"),
        "throttling-deep": line(L, 3, throttling=[[1]]),
        "energy-negative": line(L, 3, energy_mj=-1, energy_error_mj=0),
        "energy-alone": line(L, 3, energy_mj=1),
    },
    "labels": {
        "empty": put("images/labels.csv", ""),
        "not-utf-8": put("images/labels.csv", b"file,label\n0.png,\xff\n"),
        "none-there": put("images/labels.csv", "file,label\n" + "x\x1b" * 900 + ",a\n"),
        "no-label": put("images/labels.csv", "file,label\n" + "0.png,\n"),
        "two-labels": put("images/labels.csv", "file,label\n0.png,a\n0.png," + "b\x1b" * 900 + "\n"),
        "columns": put("images/labels.csv", "file," + ",".join(f"c\x1b{i}" for i in range(900)) + "\n"),
        "long-field": put("images/labels.csv", "file,label\n0.png," + "x" * 200_000 + "\n"),
        "no-images": lambda files: {"images/labels.csv": files["images/labels.csv"]},
        "stray": lambda _: {"images/a/0.png": picture(), "images/\x1b1.png": picture()},
    },
    "zip": {
        "no-images": zipped(("a/x.txt", b"x")),
        "two-disks": disks("images.zip"),
        "outside": zipped(("../a/0.png", picture()), ("/b/0.png", picture())),
    },
    "classes": {
        "gone": without("classes.txt"),
        "empty": put("classes.txt", ""),
        "not-utf-8": put("classes.txt", b"a\xff 0\n"),
        "twice": put("classes.txt", "a 0\na 1\n"),
        "wide": put("classes.txt", f"a {WIDE}\nb 1\n"),
        "digits": put("classes.txt", f"a {DIGITS}\nb 1\n"),
        "1e9": put("classes.txt", "a 0\nb 1000000000000\n"),
        "negative": put("classes.txt", "a -1\nb 0\n"),
        "long-twice": put("classes.txt", 2 * ("a\x1b" * 900 + " 0\n")),
        "json-label": put("classes.txt", json.dumps({"a\x1b" * 900: "b" * 900})),
        "json-1e9": put("classes.txt", '{"a": 1000000000000}'),
        "json-deep": put("classes.txt", "{" * 5000),
    },
    "label-names": {
        "gone": without("labels.json"),
        "lines-not-utf-8": put("labels.json", b"a\xff\nb\n"),
        "three": put("labels.json", '["a", "b", "c"]'),
        "numbers": put("labels.json", "[1, 2]"),
        "long": put("labels.json", json.dumps([{"x" * 3000: 1}, 2])),
        "empty-label": put("labels.json", '["a", "", "b"]'),
        "object-keys": put("labels.json", '{"0": "a", "2": "b"}'),
        "lines": put("labels.json", '["a\\nb", "c"]'),
    },
}

# what may be read, as long as it is read soundly
ODD: dict[str, dict[str, Edit]] = {
    "table": {
        "resolutions-superscript": swap(T, "# resolutions: 64", "# resolutions: \u00b2, 6_4, 64"),
        "resolutions-beyond": swap(T, "# resolutions: 64", f"# resolutions: 9999, 1, {DIGITS}, 64"),
        "spaces-unknown": swap(T, "# space: mbv3-w0.35", "# space: nowhere, mbv3-w0.35, ,"),
        "rows-gone": partial(_with, T, lambda content: content.replace(b"# rows: ", b"# number of rows: ")),
    },
    "result": {
        "classes-escape": at(R, "images", "classes", value=["\x1b[31m", "\u202e"]),
        "top1-null": at(R, "results", 0, "predicted_top1", value=None),
        "name": at(R, "results", 0, "name", value="x"),
        "latency-whole": at(R, "results", 0, "latency_ms", value=19),
    },
    "accuracies": {"checkpoint-list": swap(A, '"00"', "[1, [2]]")},
    "predictor": {
        "description": at(PJ, "description", value="d\x1b]0;x\x07" * 9),
        "description-list": at(PJ, "description", value=[1]),
        "uncertainty-null": at(PJ, "uncertainty", value=None),
    },
    "mit-network": {"expand-1e300": at(MIT, "blocks", 1, CONV, "expand_ratio", value=1e300)},
    "supernet": {
        "images-escape": images_lie(SUPER, classes=["\x1b[31m", "b"], marks=["\x1b[31m"]),
        "no-training": lies(SUPER, training=None),
        "training-stages-null": lies(SUPER, training='{"stages": null}'),
    },
    "journal": {
        "line-damaged": partial(_with, J, lambda content: content.replace(b'"samples_ns"', b'"samples_ns', 1)),
        "line-cr": partial(_with, J, lambda content: content.replace(b'"type"', b'"ty\rpe"', 1)),
        "line-binary": partial(_with, J, lambda content: content + b"\xff\xfe\0\n"),
        "last-cut": partial(_with, J, lambda content: content[:-30]),
        "record-list": partial(_with, J, lambda content: content + b"[1]\n5\nnull\n"),
        "record-unknown": partial(_with, J, lambda content: content + b'{"kind": ["x"]}\n{}\n'),
        "result-twice": partial(_with, J, lambda content: content + content.splitlines(keepends=True)[-1]),
    },
    "lines": {
        "words": partial(_with, L, lambda content: content.replace(b'"no"', json.dumps("\x1b\n" * 5000).encode())),
        "unknown-facts": line(
            L, 0, device={"sum_correction": "scale=9", "omits": "conv", "cpu_model": "\u00a0Z\u202e80"}
        ),
        "host-fields": line(L, 3, **{"pass": 7, "number": 9, "kind": "x", "slowness": 5}),
        "cores-odd": line(L, 0, device={"cores": [{"a": [1]}]}),
    },
    "labels": {
        "utf-16": partial(_with, "images/labels.csv", lambda content: content.decode().encode("utf-16")),
        "escape": put("images/labels.csv", "file,label\n0.png,\x1b[31m\n1.png,b\n"),
        "digits": put("images/labels.csv", f"file,label\n0.png,{DIGITS}\n1.png,1\n"),
        "zero-byte": put("images/labels.csv", b"file,label\n0.png,a\0\n"),
        "images-damaged": put("images/0.png", b"\x89PNG\r\n\x1a\n" + bytes(40)),
        "name-not-utf-8": lambda files: {**files, "images/\udcff.png": picture()},
    },
    "zip": {
        "same-name": zipped(("a/0.png", picture()), ("a/\x1b.png", picture())),
        "bomb": zipped(("a/0.png", bytes(30_000_000))),
        "zip-in-zip": zipped(("a/0.png", picture()), ("b/0.zip", b"PK")),
        "backslashes": zipped(("a\\0.png", picture()), ("b\\0.png", picture())),
        "image-cut": zipped(("a/0.png", picture()[:50]), ("b/0.png", b"")),
    },
    "published": {"mean-text": swap(Y, "1.5", "15e-1"), "var": swap(Y, "std: 0.1", "var: 0.01")},
    "classes": {"words": put("classes.txt", "\x1b[31m 0\nb 1\n"), "odd-json": put("classes.txt", '{"\\u001b": 0}')},
}
