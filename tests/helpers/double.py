"""`ofa.train` in double precision.

In a fresh network, rounding grows tenfold a step at batches of 8: what is equal shows in double precision, and at low
learning rates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch


def main(words: Sequence[str]) -> int:
    """Trains, and sees that no thread of gloo's outlives the training: it can abort the process as that ends."""
    import torch

    import ofa.training.supply as supply
    from ofa.train.__main__ import main as train

    single: Callable[..., Any] = supply.normalised
    torch.set_default_dtype(torch.float64)
    try:
        with patch.object(supply, "normalised", lambda *arguments: single(*arguments).double()):
            code = train(words)
    finally:
        torch.set_default_dtype(torch.float32)
    threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], threads
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
