"""Networks in parts on an emulated aarch64: what they compute, and what is told of them. Never what they take."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from ofa.graph import network_graph
from ofa.graph.tflite import write_tflite
from profilers.devices.phone.adb import Adb
from profilers.devices.phone.doctor.numerics import TOLERANCES, difference, outputs_here
from profilers.devices.phone.phone_options import PhoneOptions
from profilers.devices.phone.phone_target import open_phone, session_of
from profilers.measuring.events import PROTOCOL, Error, Result
from tests.helpers.chains import CHAIN, SameByShape

# the first test may have to build the phone
pytestmark = [pytest.mark.phone, pytest.mark.timeout(900)]
RULES = {
    "warmup_runs": 1, "warmup_seconds": 0, "min_runs": 3, "max_runs": 3, "max_seconds": 5, "target_error": 0,
    "min_sample_us": 0,
}  # fmt: skip
FILES = {"w": CHAIN, "u0": CHAIN[:1], "u1": CHAIN[1:2], "u2": CHAIN[2:], "v": CHAIN[1:]}
DELEGATES: tuple[Literal["xnnpack", "none"], ...] = ("xnnpack", "none")
PARTS = {"two": ("u0", "v"), "three": ("u0", "u1", "u2"), "one": ("w",), "gone": ("u0", "x"), "misfit": ("u0", "u2")}


def test_parts_compute_there_what_the_whole_network_computes_here(boot, tmp_path: Path) -> None:
    phone = boot("arm64-v8a")
    for name, chain in FILES.items():
        (tmp_path / f"{name}.tflite").write_bytes(write_tflite(network_graph(chain, weights=SameByShape())))
    here = outputs_here(tmp_path / "w.tflite", 5)
    for delegate in DELEGATES:
        results, errors = told(phone.serial, delegate, tmp_path)
        assert [result.id for result in results] == ["w", "two", "three", "one", "two"]
        for result in results:
            assert difference(result.watched["outputs"], here) < TOLERANCES["fp32"], result.id
            parts = PARTS.get(result.id)
            assert (None if result.parts_ns is None else len(result.parts_ns)) == (
                None if parts is None else len(parts)
            )
            if result.parts_ns is not None and result.parts_cpu_ns is not None:
                assert {len(times) for times in (*result.parts_ns, *result.parts_cpu_ns)} == {RULES["max_runs"]}
                assert result.samples_ns == np.sum(result.parts_ns, axis=0).tolist()
        assert [(error.id, error.reason) for error in errors] == [("gone", ""), ("misfit", "")]
        assert errors[0].message.startswith("part 2 of 2 (x.tflite): ")
        assert errors[1].message.startswith("part 2 of 2 (u2.tflite) takes ")


def told(serial: str, delegate: Literal["xnnpack", "none"], folder: Path) -> tuple[list[Result], list[Error]]:
    """What the agent on the phone says of the networks in a folder."""
    models: list[dict[str, Any]] = [{"id": "w", "path": "w.tflite"}]
    models += [{"id": name, "parts": [f"{part}.tflite" for part in parts]} for name, parts in PARTS.items()]
    visits = ["w", "two", "gone", "three", "one", "misfit", "two"]
    asked = PhoneOptions(delegate=delegate, no_fixed_performance=True)
    with Adb(serial) as adb:
        adb.connect()
        shape, cpus = open_phone(adb, asked)
        with session_of(adb, shape, cpus, asked, 1, 120.0, print) as target:
            manifest = {
                **target.manifest, "protocol": PROTOCOL, "seed": 5, "rules": RULES, "parts_rules": RULES,
                "models": models, "visits": visits, "outputs": 10_000,
            }  # fmt: skip
            events = list(target.start(folder, manifest))
    return [e for e in events if isinstance(e, Result)], [e for e in events if isinstance(e, Error)]
