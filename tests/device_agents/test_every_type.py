"""Every kind of block runs in every runtime and type of this machine: a table has all of them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from device_agents.cpu import runtimes
from device_agents.cpu.machine import computes
from ofa.blocks.index import all_blocks
from ofa.errors import InputError
from ofa.space import get_space
from profilers.measuring.models import DTYPES, REDUCED, RUNTIMES, check_dtype_of, check_runtime, write_models


def here(runtime: str, dtype: str) -> bool:
    try:
        check_dtype_of(runtime, dtype)
        check_runtime(runtime)
    except InputError:
        return False
    return computes(dtype)


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_there_is_something_to_test() -> None:
    assert here("onnxruntime", "fp32")
    assert here("onnxruntime", "int8")


@pytest.mark.parametrize(("runtime", "dtype"), [(r, d) for r in RUNTIMES for d in DTYPES if here(r, d)])
def test_every_kind_of_block_runs(tmp_path: Path, runtime: str, dtype: str) -> None:
    blocks = all_blocks(get_space("mbv3-w0.35"), [64])
    kinds = {(block.op, block.activation, block.squeeze_excite): block for block in blocks}
    assert {op for op, *_ in kinds} == {"conv", "mbconv", "global_pool", "feature_mix", "linear"}
    files = write_models({str(n): (block,) for n, block in enumerate(kinds.values())}, runtime, tmp_path, 1, dtype)
    chosen = runtimes.runtime_of({"runtime": runtime, **({"dtype": dtype} if dtype in REDUCED else {})})
    for _ in range(2):  # anew for every visit
        for file in files.values():
            chosen.load(tmp_path / file, 1, np.random.default_rng(0))()
