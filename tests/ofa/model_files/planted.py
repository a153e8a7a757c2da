"""TFLite models whose operators no runtime has."""

from __future__ import annotations

import flatbuffers
from ai_edge_litert import schema_py_generated as schema


def with_later_operators(model: bytes, operator: str, version: int = 99) -> bytes:
    """The model, with all operators of that name of a version that is still to come."""
    found = schema.ModelT.InitFromPackedBuf(model)
    for code in found.operatorCodes:
        if code.builtinCode == getattr(schema.BuiltinOperator, operator):
            code.version = version
    builder = flatbuffers.Builder(len(model))
    builder.Finish(found.Pack(builder), b"TFL3")
    return bytes(builder.Output())
