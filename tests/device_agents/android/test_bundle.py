"""The bundle: what is in it, that it is made once, and that nothing unchecked gets into it. No network is used but by
the fixture `native`."""

import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents.android import bundle, downloads, own_runtime
from ofa.errors import InputError
from profilers.devices.delegates import dtype_of

WHEEL_TEXT = b"the runtime, LiteRtCreateCompiledModel"


def deb(members: dict[str, bytes | str]) -> bytes:
    """A Debian package; a member that is text is a link to it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"./usr/lib/{name}")
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(data.getvalue())}
    packed = b"!<arch>\n"
    for name, content in parts.items():
        packed += f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(content):<10}`\n".encode() + content
        packed += b"\n" * (len(content) % 2)
    return packed


class World:
    """What the bundle is made of, without network or compiler; `log` holds what was done."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self.log = folder / "cache", list[str]()
        self.wheel = io.BytesIO()
        with zipfile.ZipFile(self.wheel, "w") as archive:
            archive.writestr("ai_edge_litert/libLiteRt.so", WHEEL_TEXT)
        self.packages = {
            "pool/libc.deb": deb({"ld.so": "ld-1.so", "ld-1.so": b"loader"}),
            "pool/libc++.deb": deb({"libstdc++.so.6": b"c++"}),
        }
        digest = hashlib.sha256(self.wheel.getvalue()).hexdigest()
        monkeypatch.setattr(
            bundle,
            "WHEELS",
            {(abi, "litert"): ("9.9", "manylinux", digest, "ai_edge_litert/libLiteRt.so") for abi in bundle.ABIS},
        )
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in self.packages.items()}
        members = {"pool/libc.deb": ("ld.so",), "pool/libc++.deb": ("libstdc++.so.6",)}
        monkeypatch.setattr(bundle, "PACKAGES", tuple((name, hashes[name], members[name]) for name in self.packages))
        monkeypatch.setattr(bundle, "LOADER", "ld.so")
        monkeypatch.setattr(bundle, "wheel", self._wheel)
        monkeypatch.setattr(bundle, "debian_package", self._package)
        monkeypatch.setattr(bundle, "compile_agent", self._compile)

    def _wheel(self, package: str, version: str, *rest: object) -> None:
        self.log.append(f"wheel {package} {version}")
        to = rest[-1]
        assert isinstance(to, Path)
        to.write_bytes(self.wheel.getvalue())

    def _package(self, url: str, to: Path) -> None:
        self.log.append(f"package {url}")
        to.write_bytes(self.packages[url.removeprefix("https://mirror/")])

    def _compile(self, abi: str, to: Path, libc: str) -> None:
        self.log.append(f"compile {abi}" + (f" for {libc}" if libc != "glibc" else ""))
        to.write_bytes(b"agent")

    def make(self, abi: str = "aarch64", **options: object) -> bundle.Bundle:
        return bundle.make(abi, cache=self.cache, mirror="https://mirror/", **options)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_the_native_bundle_is_whole(native: bundle.Bundle) -> None:
    assert sorted(native.files) == ["agent", "bundle.json", "libLiteRt.so"]
    assert native.start_command == ("./agent",)
    assert (native.abi, native.backend, native.runtime) == ("x86_64", "litert", "ai-edge-litert 2.3.0")
    for name, digest in native.files.items():
        assert hashlib.sha256((native.folder / name).read_bytes()).hexdigest() == digest


def test_a_bundle_for_phones_brings_its_loader(world: World) -> None:
    made = world.make()
    assert sorted(made.files) == ["agent", "bundle.json", "ld.so", "libLiteRt.so", "libstdc++.so.6"]
    assert made.start_command == ("./ld.so", "--library-path", ".", "./agent")
    assert (made.folder / "ld.so").read_bytes() == b"loader", "the link in the package was followed"
    assert (made.folder / "libLiteRt.so").read_bytes() == WHEEL_TEXT
    assert all((made.folder / name).stat().st_mode & 0o111 for name in made.files if name != "bundle.json")
    assert world.log == [
        "compile aarch64", "wheel ai-edge-litert 9.9",
        "package https://mirror/pool/libc.deb", "package https://mirror/pool/libc++.deb",
    ]  # fmt: skip


def test_it_is_made_once(world: World) -> None:
    made = world.make()
    world.log.clear()
    told: list[str] = []
    assert world.make(tell=told.append) == made
    assert (world.log, told) == ([], [f"{made.folder}: already made"])


def test_another_abi_fetches_only_what_is_new(world: World) -> None:
    made = world.make()
    world.log.clear()
    other = world.make("x86_64")
    assert world.log == ["compile x86_64"]
    assert other.sha256 != made.sha256
    assert other.start_command == ("./agent",)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"?"), lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["agent", "bundle.json", "ld.so"])
def test_a_spoilt_bundle_is_made_again(world: World, spoil: Callable[[Path], object], name: str) -> None:
    made = world.make()
    spoil(made.folder / name)
    assert world.make() == made
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name], "nothing is left lying about"


def test_a_changed_source_makes_another_bundle(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.make()
    sources = tmp_path / "src"
    sources.mkdir()
    (sources / "agent.c").write_text("int main(void) { return 0; }")
    monkeypatch.setattr(bundle, "SOURCES", sources)
    assert world.make().folder != made.folder


@pytest.mark.parametrize("what", ["wheel", "package"])
def test_a_download_of_another_hash_is_refused(world: World, what: str) -> None:
    if what == "wheel":
        world.wheel.write(b"more")
    else:
        world.packages["pool/libc.deb"] += b"more"
    with pytest.raises(InputError, match=r"has sha256 .*, expected .*: it is not used"):
        world.make()
    assert list((world.cache / "bundles").iterdir()) == []
    kept = [path.name for path in (world.cache / "downloads").iterdir()]
    assert not any(("libc.deb" if what == "package" else "whl") in name for name in kept)


def test_a_spoilt_download_is_fetched_again(world: World) -> None:
    world.make()
    for path in (world.cache / "downloads").glob("*.whl"):
        path.write_bytes(b"?")
    world.log.clear()
    world.make("x86_64")
    assert world.log == ["compile x86_64", "wheel ai-edge-litert 9.9"]


def test_the_users_own_builds_are_taken_as_they_are(world: World, tmp_path: Path) -> None:
    own, library = tmp_path / "own", tmp_path / "libtflite_of_mine.so"
    own.write_bytes(b"own agent")
    library.write_bytes(b"\x7fELF TfLiteInterpreterCreate")
    made = world.make(agent_bin=own, agent_lib=(library,))
    assert world.log == []
    assert sorted(made.files) == ["agent", "bundle.json", "libtensorflowlite_c.so"]
    assert (made.backend, made.start_command) == ("tflite", ("./agent",))
    assert made.runtime == f"libtflite_of_mine.so (sha256 {made.files['libtensorflowlite_c.so'][:12]})"
    own.write_bytes(b"newer agent")
    assert world.make(agent_bin=own, agent_lib=(library,)).folder != made.folder


@pytest.mark.parametrize(
    ("content", "backend"),
    [
        (b"..LiteRtCreateCompiledModel..", "litert"),
        (b"..TfLiteInterpreterCreate..", "tflite"),
        (b"..LiteRtCreateCompiledModel..TfLiteInterpreterCreate..", "tflite"),
    ],
)
def test_a_librarys_api_is_seen_from_its_symbols(tmp_path: Path, content: bytes, backend: str) -> None:
    (tmp_path / "lib.so").write_bytes(content)
    assert own_runtime.backend_of(tmp_path / "lib.so") == backend


def aar(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_all_libraries_of_an_android_archive_go_over_beside_one_another(world: World, tmp_path: Path) -> None:
    members = {
        "classes.jar": b"code",
        "jni/arm64-v8a/libLiteRt.so": b"LiteRtCreateCompiledModel",
        "jni/arm64-v8a/libLiteRtClGlAccelerator.so": b"LiteRtAcceleratorImpl, and LiteRtCreateCompiledModel it needs",
        "jni/arm64-v8a/../../escaped.so": b"no",
        "jni/arm64-v8a/deeper/lib.so": b"no",
        "jni/x86_64/libLiteRt.so": b"of another processor",
    }
    (tmp_path / "own").write_bytes(b"own agent")
    made = world.make(agent_bin=tmp_path / "own", agent_aar=aar(tmp_path / "litert.aar", members))
    assert sorted(made.files) == ["agent", "bundle.json", "libLiteRt.so", "libLiteRtClGlAccelerator.so"]
    assert (made.backend, made.manifest_fields) == ("litert", {})
    assert made.start_command == ("env", "LD_LIBRARY_PATH=.", "./agent")
    assert (made.folder / "libLiteRt.so").read_bytes() == b"LiteRtCreateCompiledModel"
    with pytest.raises(InputError, match="has no library for this device: nothing lies in its jni/arm64-v8a/"):
        world.make(agent_aar=aar(tmp_path / "other.aar", {"jni/x86_64/libLiteRt.so": b"x"}))


def test_an_agent_for_bionic_needs_neither_loader_nor_libraries_but_a_runtime(world: World, tmp_path: Path) -> None:
    runtime = tmp_path / "libLiteRt.so"
    runtime.write_bytes(b"LiteRtCreateCompiledModel")
    made = world.make(libc="bionic", agent_lib=(runtime,))
    assert world.log == ["compile aarch64 for bionic"]
    assert sorted(made.files) == ["agent", "bundle.json", "libLiteRt.so"]
    assert made.start_command == ("./agent",)
    assert world.make(agent_lib=(runtime,)).folder != made.folder
    with pytest.raises(InputError, match="--libc bionic: no runtime is made for it here"):
        world.make(libc="bionic")


def test_the_classic_delegate_is_a_library_of_its_own(world: World, tmp_path: Path) -> None:
    runtime, gpu = tmp_path / "libtensorflowlite_jni.so", tmp_path / "libtensorflowlite_gpu_jni.so"
    runtime.write_bytes(b"TfLiteInterpreterCreate")
    gpu.write_bytes(b"TfLiteGpuDelegateV2Create")
    made = world.make(agent_bin=runtime, agent_lib=(gpu, runtime))
    assert sorted(made.files) == ["agent", "bundle.json", gpu.name, runtime.name]
    assert made.manifest_fields == {"library": f"./{runtime.name}", "delegate_library": f"./{gpu.name}"}
    assert made.runtime.startswith("libtensorflowlite_jni.so (sha256 ")


@pytest.mark.parametrize(
    ("delegate", "dtype"), [("xnnpack", "float32"), ("none", "float32"), ("gpu", "not known"), ("nnapi", "not known")]
)
def test_what_a_delegate_computes_in_is_not_guessed(delegate: str, dtype: str) -> None:
    assert dtype_of(delegate) == dtype


def test_what_cannot_be_had_is_said(world: World, tmp_path: Path) -> None:
    (tmp_path / "lib.so").write_bytes(b"nothing")
    for options, message in (
        ({"abi": "armv7"}, "there is no agent for armv7: expected one of aarch64, x86_64"),
        ({"backend": "onnx"}, "backend is 'onnx', expected one of litert, tflite"),
        ({"abi": "x86_64", "backend": "tflite"}, "no wheel has the tflite C API for x86_64: give your own build"),
        ({"agent_bin": tmp_path / "gone"}, "there is no agent .*gone"),
        ({"agent_lib": (tmp_path / "gone",)}, "there is no library .*gone"),
        ({"agent_lib": (tmp_path / "lib.so",)}, "has neither LiteRT's nor TFLite's C API"),
        ({"agent_lib": (tmp_path / "lib.so", tmp_path / "lib.so")}, "two libraries have one name"),
        ({"agent_aar": tmp_path / "gone"}, "there is no archive .*gone"),
        ({"agent_aar": tmp_path / "lib.so"}, "lib.so is no Android archive: "),
    ):
        with pytest.raises(InputError, match=message):
            world.make(**options)  # type: ignore[arg-type]


def test_a_source_that_does_not_compile_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agent.c").write_text("int main(void) { return x; }")
    monkeypatch.setattr(bundle, "SOURCES", tmp_path)
    with pytest.raises(InputError, match=r"zig cannot compile the agent: .*undeclared identifier"):
        bundle.compile_agent("x86_64", tmp_path / "agent")


def test_packages_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.deb"
    path.write_bytes(deb({"a": b"1"}))
    assert downloads.deb_members(path, ["a"]) == {"a": b"1"}
    with pytest.raises(InputError, match=r"has no b\.so"):
        downloads.deb_members(path, ["b.so"])
    path.write_bytes(b"!<arch>\n")
    with pytest.raises(InputError, match=r"is no Debian package with a data\.tar\.xz"):
        downloads.deb_members(path, ["a"])


def test_only_web_addresses_are_fetched_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no web address"):
        downloads.debian_package("file:///etc/passwd", tmp_path / "x")


def test_the_command_copies_the_bundle(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundle, "default_cache", lambda: world.cache)
    out = tmp_path / "out"
    assert bundle.main(["--out", str(out), "--mirror", "https://mirror"]) == 0
    about = json.loads((out / "bundle.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == sorted([*about["files"], "bundle.json"])
    assert "start it there with: ./ld.so --library-path . ./agent manifest.json" in capsys.readouterr().out
    with pytest.raises(InputError, match="exists and is not an empty folder"):
        bundle.main(["--out", str(out), "--mirror", "https://mirror"])
