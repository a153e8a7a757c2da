"""What the driver tells of a GPU, by nvidia-ml-py: all is read, nothing is set. What cannot be read is null."""

from __future__ import annotations

from typing import Any

# bits of nvmlDeviceGetCurrentClocksThrottleReasons; an idle GPU and the user's own settings are no throttling
THROTTLE_REASONS = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal",
    0x040: "hardware thermal",
    0x080: "power brake",
}


class Nvml:
    """One GPU. library: the module pynvml, or None: then everything is null, and `missing` says why."""

    def __init__(self, library: Any, uuid: str, missing: str | None = None) -> None:
        self._library, self._handle, self.missing = library, None, missing
        # process ids of this program, as NVML names them: in a container they are not what os.getpid says
        self.ours: set[int] = set()
        if library is not None:
            try:
                library.nvmlInit()
                self._handle = library.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
            except library.NVMLError as error:
                self.missing = str(error)

    def _ask(self, function: str, *constants: str) -> Any:
        if self.missing:
            return None
        try:
            return getattr(self._library, function)(self._handle, *(getattr(self._library, c) for c in constants))
        except self._library.NVMLError:
            return None

    def clock_mhz(self) -> float | None:
        clock: float | None = self._ask("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM")
        return clock

    def temperature_c(self) -> float | None:
        temperature: float | None = self._ask("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU")
        return temperature

    def energy_mj(self) -> float | None:
        """Of the whole board since the driver was loaded: whole millijoules, on GPUs since Volta."""
        energy: float | None = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return energy

    def throttling(self) -> list[str] | None:
        """Why the clock is lower than it could be."""
        reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if reasons is None else [name for bit, name in THROTTLE_REASONS.items() if reasons & bit]

    def processes(self) -> set[int] | None:
        """Ids of the processes that use the GPU."""
        lists = [self._ask(f"nvmlDeviceGet{kind}RunningProcesses") for kind in ("Compute", "Graphics")]
        if all(found is None for found in lists):
            return None
        return {process.pid for found in lists for process in found or ()}

    def other_processes(self) -> list[int] | None:
        found = self.processes()
        return None if found is None else sorted(found - self.ours)

    def facts(self) -> dict[str, Any]:
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        energy = self.energy_mj()
        return {
            "nvml": f"not to be had: {self.missing}" if self.missing else self._library.nvmlSystemGetNVMLVersion(),
            "driver": None if self.missing else self._library.nvmlSystemGetDriverVersion(),
            "power_limit_w": None if limit is None else limit / 1000,
            "clock_mhz": self.clock_mhz(),
            "temperature_c": self.temperature_c(),
            "other_processes": self.other_processes(),
            "energy_counter": None if energy is None else "NVML, the whole board, idle power included",
        }


def nvml_of(uuid: str) -> Nvml:
    """The GPU of that UUID, which counts on although CUDA_VISIBLE_DEVICES may renumber."""
    try:
        import pynvml
    except ImportError:
        return Nvml(None, uuid, "nvidia-ml-py is not installed")
    return Nvml(pynvml, uuid)
