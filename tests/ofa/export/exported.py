"""Calls of python -m ofa.export, and what its files say of themselves."""

import json
import zipfile
from pathlib import Path

from .conftest import Toy


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata in a model file, read with the runtime's or format's own tools."""
    content = path.read_bytes()
    if path.suffix == ".onnx":
        import onnx

        model = onnx.load_from_string(content)
        onnx.checker.check_model(model, full_check=True)
        return {p.key: p.value for p in model.metadata_props}
    if path.suffix == ".tflite":
        from ai_edge_litert import schema_py_generated as schema

        loaded = schema.ModelT.InitFromPackedBuf(content)
        return {m.name.decode(): bytes(loaded.buffers[m.buffer].data).decode() for m in loaded.metadata}
    if path.suffix == ".pt":
        with zipfile.ZipFile(path) as opened:
            inside = [name for name in opened.namelist() if "/extra/" in name]
            return {name.rsplit("/", 1)[1]: opened.read(name).decode() for name in inside}
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size])["__metadata__"]


def of(toy: Toy, out: Path, *more: str, format_name: str = "onnx") -> list[str]:
    return [
        f"--subnet={toy.result}",
        f"--checkpoint={toy.checkpoint}",
        f"--format={format_name}",
        f"--out={out}",
        *more,
    ]
