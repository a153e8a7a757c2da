"""The user's own build of the runtime: its library, and those that stand beside it, such as a GPU's accelerator."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa.errors import InputError
from ofa.runs.files import sha256

# what the agent expects its library to be called, by backend: src/runtime_*.c
LIBRARY_NAMES = {"litert": "libLiteRt.so", "tflite": "libtensorflowlite_c.so"}
# a symbol that tells which C API a library has
LIBRARY_MARKS = {"litert": b"LiteRtCreateCompiledModel", "tflite": b"TfLiteInterpreterCreate"}
# of the library that has the classic runtime's GPU delegate
DELEGATE_MARK = b"TfLiteGpuDelegateV2Create"
# Android's name of an ABI, which AARs use, by the bundle's
ANDROID_ABIS = {"aarch64": "arm64-v8a", "x86_64": "x86_64"}
# names under which runtimes are published; other libraries name their symbols too
PUBLISHED = {"libLiteRt.so", "libtensorflowlite_c.so", "libtensorflowlite_jni.so", "libLiteRtRuntimeCApi.so"}
LARGEST_LIBRARY = 512 << 20  # bytes


@dataclass(frozen=True)
class OwnRuntime:
    """main: the library that has the C API `backend`; others: what goes beside it, under its own names

    delegate: that of `others` which has the classic GPU delegate; None: none, or it is in main
    """

    main: Path
    backend: str
    others: tuple[Path, ...]
    delegate: Path | None

    @property
    def files(self) -> dict[str, Path]:
        """{name on the device: file here}. Alone, the library may have any name; others look for it by its own."""
        named = self.main.name if self.others else LIBRARY_NAMES[self.backend]
        return {named: self.main, **{path.name: path for path in self.others}}

    def manifest_fields(self) -> dict[str, str]:
        """What the agent is to be told of it beside `backend`."""
        fields = {}
        if self.others and self.main.name != LIBRARY_NAMES[self.backend]:
            fields["library"] = f"./{self.main.name}"
        if self.delegate is not None:
            fields["delegate_library"] = f"./{self.delegate.name}"
        return fields


def own_runtime(libraries: Sequence[Path], aar: Path | None, abi: str, cache: Path) -> OwnRuntime | None:
    """What the user brings; None: nothing. InputError for files that are not there, or no runtime among them.

    aar: an Android archive, whose libraries for the ABI are taken out into the cache
    """
    paths = [*libraries, *(_unpacked(aar, abi, cache) if aar else ())]
    if not paths:
        return None
    for path in paths:
        if not path.is_file():
            raise InputError(f"there is no library {path}")
    if len({path.name for path in paths}) < len(paths):
        raise InputError(f"two libraries have one name: {', '.join(sorted(path.name for path in paths))}")
    main = min(paths, key=lambda path: (backend_of(path) is None, path.name not in PUBLISHED))
    backend = backend_of(main)
    if backend is None:
        raise InputError(
            f"{', '.join(map(str, paths))} has neither LiteRT's nor TFLite's C API: expected libLiteRt.so or "
            "libtensorflowlite_c.so"
        )
    others = tuple(path for path in paths if path != main)
    delegate = next((path for path in others if DELEGATE_MARK in path.read_bytes()), None)
    return OwnRuntime(main, backend, others, delegate if backend == "tflite" else None)


def backend_of(library: Path) -> str | None:
    """Which C API a library has; None if none that the agent knows."""
    content = library.read_bytes()
    for backend, mark in LIBRARY_MARKS.items():
        # 1.4.0 has both, and its LiteRT part is older than what the agent speaks
        if mark in content and not (backend == "litert" and LIBRARY_MARKS["tflite"] in content):
            return backend
    return None


def _unpacked(aar: Path, abi: str, cache: Path) -> list[Path]:
    """The libraries of an Android archive."""
    if not aar.is_file():
        raise InputError(f"there is no archive {aar}")
    wanted = f"jni/{ANDROID_ABIS[abi]}/"
    folder = cache / "archives" / f"{sha256(aar)[:16]}-{abi}"
    try:
        with zipfile.ZipFile(aar) as archive:
            members = [info for info in archive.infolist() if _is_directly_in(info.filename, wanted)]
            if not members:
                raise InputError(f"{aar} has no library for this device: nothing lies in its {wanted}")
            folder.mkdir(parents=True, exist_ok=True)
            for info in members:
                if info.file_size > LARGEST_LIBRARY:
                    raise InputError(f"{aar}: {info.filename!a} is larger than a library can be")
                (folder / info.filename.removeprefix(wanted)).write_bytes(archive.read(info))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{aar} is no Android archive: {error}") from None
    return sorted(folder / info.filename.removeprefix(wanted) for info in members)


def _is_directly_in(name: str, folder: str) -> bool:
    rest = name.removeprefix(folder)
    return rest != name and rest.endswith(".so") and "/" not in rest and "\\" not in rest
