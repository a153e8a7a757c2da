"""What the driver tells of a GPU, by nvidia-ml-py: all is read, nothing is set. What cannot be read is null."""

from __future__ import annotations

from typing import Any

# bits of nvmlDeviceGetCurrentClocksThrottleReasons, which newer drivers call EventReasons; an idle GPU and the user's
# own settings are no throttling
THROTTLE_REASONS = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal",
    0x040: "hardware thermal",
    0x080: "power brake",
}
_NEWER_REASONS = "nvmlDeviceGetCurrentClocksEventReasons"
# what is asked of a MIG slice itself
_OF_A_SLICE = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")


class Nvml:
    """One GPU. library: the module pynvml, or None: then everything is null, and `missing` says why."""

    def __init__(self, library: Any, uuid: str, missing: str | None = None) -> None:
        self._library, self._handle, self.missing = library, None, missing
        self._reasons = "nvmlDeviceGetCurrentClocksThrottleReasons"
        # of a MIG slice clock, temperature and reasons are those of the whole GPU
        self.is_slice = False
        # process ids of this program, as NVML names them: in a container they are not what os.getpid says
        self.ours: set[int] = set()
        if library is not None:
            try:
                library.nvmlInit()
                self._handle = self._found(uuid)
            except (library.NVMLError, AttributeError) as error:
                self.missing = str(error)

    def _found(self, uuid: str) -> Any:
        """The handle of a GPU, or of a MIG slice: CUDA tells the UUIDs of both without what they begin with."""
        plain = uuid.removeprefix("GPU-").removeprefix("MIG-")
        try:
            return self._library.nvmlDeviceGetHandleByUUID(f"GPU-{plain}")
        except self._library.NVMLError as error:
            try:
                handle = self._library.nvmlDeviceGetHandleByUUID(f"MIG-{plain}")
            except self._library.NVMLError:
                raise error from None
        self.is_slice = True
        return handle

    def _ask(self, function: str, *constants: str) -> Any:
        """What the library answers; None where it, or the GPU, does not know the question."""
        if self.missing:
            return None
        try:
            handle = self._handle
            if self.is_slice and function not in _OF_A_SLICE:
                handle = self._library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
            return getattr(self._library, function)(handle, *(getattr(self._library, c) for c in constants))
        except (self._library.NVMLError, AttributeError):
            return None

    def _ask_system(self, function: str) -> Any:
        """What the library answers about the driver; None where it does not know the question."""
        if self.missing:
            return None
        try:
            return getattr(self._library, function)()
        except (self._library.NVMLError, AttributeError):
            return None

    def clock_mhz(self) -> float | None:
        clock: float | None = self._ask("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM")
        return clock

    def temperature_c(self) -> float | None:
        temperature: float | None = self._ask("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU")
        return temperature

    def energy_mj(self) -> float | None:
        """Of the whole board since the driver was loaded: whole millijoules, on GPUs since Volta. None of a slice."""
        if self.is_slice:
            return None
        energy: float | None = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return energy

    def throttling(self) -> list[str] | None:
        """Why the clock is lower than it could be."""
        reasons = self._ask(self._reasons)
        if reasons is None and self._reasons != _NEWER_REASONS:
            reasons = self._ask(_NEWER_REASONS)
            if reasons is not None:
                self._reasons = _NEWER_REASONS
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
            "nvml": f"not to be had: {self.missing}" if self.missing else self._ask_system("nvmlSystemGetNVMLVersion"),
            "driver": self._ask_system("nvmlSystemGetDriverVersion"),
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
