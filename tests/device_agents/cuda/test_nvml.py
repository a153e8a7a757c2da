"""What the driver tells of a GPU through NVML, and what it does not."""

import pytest

from device_agents.cuda.nvml import Nvml


class Library:
    """Stands for the module pynvml."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        pass

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.nvmlInit = lambda: self.answer("init", None)
        self.nvmlSystemGetNVMLVersion = lambda: "13.580"
        self.nvmlSystemGetDriverVersion = lambda: "580.1"

    def answer(self, name: str, otherwise: object) -> object:
        found = self.answers.get(name, otherwise)
        if isinstance(found, Exception):
            raise found
        return found

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        assert uuid == "GPU-12-34"
        return "handle"

    def __getattr__(self, name: str):
        def function(*arguments: object) -> object:
            assert arguments[0] == "handle"
            return self.answer(name, self.NVMLError("not supported"))

        return function


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid


def test_what_the_driver_tells() -> None:
    library = Library(
        nvmlDeviceGetClockInfo=1980,
        nvmlDeviceGetTotalEnergyConsumption=123456,
        nvmlDeviceGetCurrentClocksThrottleReasons=0x1 | 0x4 | 0x40,
        nvmlDeviceGetComputeRunningProcesses=[Process(11), Process(12)],
        nvmlDeviceGetEnforcedPowerLimit=700_000,
    )
    nvml = Nvml(library, "12-34")
    assert nvml.missing is None
    assert nvml.clock_mhz() == 1980
    assert nvml.temperature_c() is None, "what cannot be read is null"
    assert nvml.energy_mj() == 123456
    assert nvml.throttling() == ["power cap", "hardware thermal"], "an idle GPU is not throttled"
    assert nvml.other_processes() == [11, 12]
    nvml.ours = {12}
    assert nvml.other_processes() == [11]
    facts = nvml.facts()
    assert (facts["nvml"], facts["driver"], facts["power_limit_w"]) == ("13.580", "580.1", 700.0)
    assert facts["energy_counter"].startswith("NVML")


def test_a_driver_without_nvml_tells_nothing_and_says_why() -> None:
    nvml = Nvml(Library(init=Library.NVMLError("Driver Not Loaded")), "12-34")
    facts = nvml.facts()
    assert facts["nvml"] == "not to be had: Driver Not Loaded"
    assert {value for key, value in facts.items() if key != "nvml"} == {None}
    assert (nvml.throttling(), nvml.processes()) == (None, None)


def test_a_newer_driver_calls_the_reasons_otherwise() -> None:
    nvml = Nvml(Library(nvmlDeviceGetCurrentClocksEventReasons=0x20), "12-34")
    assert nvml.throttling() == nvml.throttling() == ["software thermal"]
    assert Nvml(Library(), "12-34").throttling() is None


def test_what_a_library_does_not_know_is_null() -> None:
    class Old(Library):
        def __getattr__(self, name: str):
            if name in ("nvmlDeviceGetTotalEnergyConsumption", "nvmlSystemGetDriverVersion"):
                raise AttributeError(name)
            return super().__getattr__(name)

    old = Old(nvmlDeviceGetTemperature=40)
    del old.nvmlSystemGetDriverVersion
    nvml = Nvml(old, "12-34")
    assert (nvml.temperature_c(), nvml.energy_mj(), nvml.facts()["driver"]) == (40, None, None)


def test_a_mig_slice_is_found_by_its_own_name_and_asks_its_gpu_for_the_clock() -> None:
    class Sliced:
        class NVMLError(Exception):
            pass

        NVML_CLOCK_SM = 1
        nvmlInit = staticmethod(lambda: None)

        def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
            if uuid != "MIG-12-34":
                raise self.NVMLError("Not Found")
            return "slice"

        nvmlDeviceGetDeviceHandleFromMigDeviceHandle = staticmethod(lambda handle: {"slice": "gpu"}[handle])
        nvmlDeviceGetClockInfo = staticmethod(lambda handle, _: {"gpu": 1410}[handle])
        nvmlDeviceGetComputeRunningProcesses = staticmethod(lambda handle: {"slice": [Process(5)]}[handle])
        nvmlDeviceGetTotalEnergyConsumption = staticmethod(lambda _: 1)

    for uuid in ("12-34", "GPU-12-34", "MIG-12-34"):
        nvml = Nvml(Sliced(), uuid)
        assert (nvml.missing, nvml.clock_mhz(), nvml.processes()) == (None, 1410, {5})
        assert nvml.energy_mj() is None, "the counter is of the whole board"
    assert Nvml(Sliced(), "56-78").missing == "Not Found"


def test_the_real_library_without_a_driver_is_no_fault() -> None:
    pynvml = pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert Nvml(pynvml, "12-34").missing
    else:
        pytest.skip("there is an NVIDIA driver")
