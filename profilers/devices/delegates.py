"""What is known of a delegate beforehand."""

from __future__ import annotations


def dtype_of(delegate: str) -> str:
    """In what type it computes float32 models; a delegate of a GPU or NPU may choose less, and does not tell."""
    return "float32" if delegate in ("xnnpack", "none") else "not known"
