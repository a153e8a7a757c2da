"""Serials, keys, and the words for a phone that cannot be reached. A few lines stand in for phones that refuse."""

import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from adb_shell.auth.keygen import keygen
from adb_shell.exceptions import TcpTimeoutException, UsbReadFailedError

from ofa.errors import InputError
from profilers.android import main
from profilers.devices.phone import adb, usb
from profilers.devices.phone.adb import Adb, PushFailed, signer
from profilers.devices.phone.usb import tcp_address, usb_transport
from profilers.measuring.events import ConnectionLost


@pytest.mark.parametrize(
    ("serial", "address"),
    [
        (None, None),
        ("R58M123ABC", None),
        ("emulator-5554", ("127.0.0.1", 5555)),
        ("192.168.1.7:5555", ("192.168.1.7", 5555)),
        ("my-phone.lan:40001", ("my-phone.lan", 40001)),
        ("[fe80::1%eth0]:5555", ("fe80::1%eth0", 5555)),
    ],
)
def test_a_serial_says_how_to_connect(serial: str | None, address: tuple[str, int] | None) -> None:
    assert tcp_address(serial) == address


@pytest.mark.parametrize(
    "serial", ["", "a b", "$(reboot)", "x;y", "host:0", "host:70000", "host:port", "emulator-5555", "ä", "a\nb", "R5\n"]
)
def test_what_is_no_serial_is_refused(serial: str) -> None:
    with pytest.raises(InputError, match="--serial is "):
        tcp_address(serial)


def packet(command: bytes, first: int, second: int, data: bytes) -> bytes:
    word = struct.unpack("<I", command)[0]
    return struct.pack("<6I", word, first, second, len(data), sum(data), word ^ 0xFFFFFFFF) + data


@contextmanager
def speaking(*answers: bytes) -> Iterator[str]:
    """A phone that gives these answers, one to each packet it gets, and then stays silent; its serial."""

    def serve(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            for answer in answers:
                header = connection.recv(24, socket.MSG_WAITALL)
                connection.recv(struct.unpack("<6I", header)[3], socket.MSG_WAITALL)
                connection.sendall(answer)
            over.wait()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


@pytest.fixture(autouse=True)
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(adb, "KEY", tmp_path / ".android" / "adbkey")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")  # nor an adb server of this machine
    return adb.KEY


def test_a_phone_that_does_not_know_the_key_wants_a_tap(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(adb, "ALLOW_S", 0.1)
    ask = packet(b"AUTH", 1, 0, b"x" * 20)
    # its question, that question again to our signature, and no answer to our public key
    with (
        speaking(ask, ask) as serial,
        pytest.raises(InputError, match=r"does not accept this computer's key .*tap Allow"),
    ):
        Adb(serial).connect()
    assert "unlock the phone and tap Allow" in capsys.readouterr().err


def test_a_phone_that_wants_to_be_paired_is_told_from_others() -> None:
    with (
        speaking(packet(b"STLS", 0x01000000, 0, b"")) as serial,
        pytest.raises(InputError, match=r"wants the pairing of wireless debugging, .* `adb tcpip 5555`"),
    ):
        Adb(serial).connect()


def test_where_nothing_listens_there_is_no_device() -> None:
    # bound, so that nobody else can listen there meanwhile
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        serial = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(InputError, match=r"no device answers at 127.0.0.1:\d+ \(Connection refused\): is it on"):
            Adb(serial).connect()


def test_what_is_no_adb_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb, "CONNECT_S", 0.2)
    with speaking() as serial, pytest.raises(InputError, match="no device answers at"):
        Adb(serial).connect()


def test_an_answer_that_adb_shell_cannot_read_is_a_push_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Confused:
        def push(self, *_: object, **__: object) -> None:
            raise KeyError(0x74697277)  # "writ": out of the middle of "write failed: No space left on device"

    phone = Adb("127.0.0.1:1")
    monkeypatch.setattr(phone, "_device", Confused())
    with pytest.raises(PushFailed, match="cannot be understood"):
        phone.push(b"", "/data/local/tmp/x")


def test_a_phone_that_is_not_connected_is_lost() -> None:
    with pytest.raises(ConnectionLost, match="no connection"):
        Adb("127.0.0.1:1").run("true")


class Usb:
    """A phone on USB that fails as usb1 makes it fail."""

    def __init__(self, error: str) -> None:
        self._error = type(error, (Exception,), {})

    def connect(self, *_: object) -> None:
        raise self._error("LIBUSB")

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("USBErrorBusy", "held by another program, most likely an adb server: stop it with `adb kill-server`"),
        ("USBErrorAccess", "may not be opened by this user: .*udev rules"),
        ("USBErrorIO", "does not answer .*: unplug it, plug it in again"),
    ],
)
def test_usb_that_fails_is_explained(monkeypatch: pytest.MonkeyPatch, error: str, message: str) -> None:
    from adb_shell.transport.base_transport import BaseTransport

    transport = type("Fake", (Usb, BaseTransport), {"bulk_read": None, "bulk_write": None})(error)
    monkeypatch.setattr(usb, "usb_devices", lambda: [("R58", transport)])
    with pytest.raises(InputError, match=message):
        Adb("R58").connect()


@pytest.mark.parametrize(
    ("attached", "serial", "message"),
    [
        ([], None, "no phone is on USB: on the phone, tap Settings > About"),
        (["A", "B"], None, "2 phones are on USB (A, B): choose one by --serial"),
        (["A"], "B", "no phone B is on USB (there: A)"),
    ],
)
def test_the_phone_on_usb_must_be_clear(
    monkeypatch: pytest.MonkeyPatch, attached: list[str], serial: str | None, message: str
) -> None:
    monkeypatch.setattr(usb, "usb_devices", lambda: [(name, object()) for name in attached])
    with pytest.raises(InputError) as failure:
        usb_transport(serial)
    assert message in str(failure.value)


def test_the_only_phone_needs_no_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb, "usb_devices", lambda: [("A", "transport of A")])
    assert usb_transport(None) == usb_transport("A") == "transport of A"


def test_the_list_names_what_can_be_measured(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(usb, "usb_devices", lambda: [("R58", object())])
    monkeypatch.setattr(usb, "emulators", lambda: ["emulator-5554"])
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert "R58  USB" in said
    assert "emulator-5554  emulator of this machine" in said


def test_an_empty_list_says_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def no_libusb() -> list[tuple[str, object]]:
        raise InputError("USB needs libusb")

    monkeypatch.setattr(usb, "usb_devices", no_libusb)
    monkeypatch.setattr(usb, "emulators", list)
    assert main(["--list"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "USB cannot be looked at: USB needs libusb" in said
    assert "no phone is attached: on the phone, tap Settings" in said


def test_a_key_is_made_once_and_is_its_owners_alone(key: Path) -> None:
    first = signer(key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert first.GetPublicKey() == signer(key).GetPublicKey()


def test_the_key_that_adb_made_is_used(key: Path) -> None:
    key.parent.mkdir()
    keygen(str(key))
    public = key.with_name("adbkey.pub")
    before = public.read_text()
    assert signer(key).GetPublicKey() == before
    public.unlink()  # adb can do without
    assert signer(key).GetPublicKey().split()[0] == before.split()[0]


def test_a_key_that_cannot_be_read_is_named(key: Path) -> None:
    key.parent.mkdir()
    key.write_text("no key")
    key.with_name("adbkey.pub").write_text("no key")
    with pytest.raises(InputError, match=r"adbkey is no key of adb's: move it away, and a new one is made"):
        signer(key)


def test_everything_is_sent_at_once_and_an_end_is_an_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = adb.Tcp("127.0.0.1", server.getsockname()[1])
        transport.connect(5)
        with server.accept()[0] as far:
            assert transport._open().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            data = bytes(1 << 20)
            reader = threading.Thread(target=lambda: got.append(far.recv(len(data), socket.MSG_WAITALL)))
            got: list[bytes] = []
            reader.start()
            assert transport.bulk_write(data, 5) == len(data)
            reader.join()
            assert got == [data]
        with pytest.raises(ConnectionResetError, match="closed the connection"):
            transport.bulk_read(24, 5)
        transport.close()
        with pytest.raises(ConnectionResetError, match="is closed"):
            transport.bulk_write(b"x", 5)


class Stale:
    """A phone on USB that first says what an earlier run had asked for."""

    def __init__(self, stale: int) -> None:
        self.waiting, self.connects = [b"old"] * stale, 0

    def connect(self, *_: object) -> None:
        self.connects += 1

    def close(self) -> None:
        pass

    def bulk_read(self, *_: object) -> bytes:
        if not self.waiting:
            raise UsbReadFailedError("nothing comes", None)
        return self.waiting.pop()

    def bulk_write(self, data: bytes, *_: object) -> int:
        return len(data)


def test_what_a_phone_had_still_to_say_is_let_pass() -> None:
    phone = Stale(40)
    usb.Drained(phone).connect(1)
    assert phone.waiting == []


def test_a_phone_on_usb_that_is_confused_is_tried_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    phone = Stale(0)
    monkeypatch.setattr(usb, "usb_devices", lambda: [("R58", phone)])
    with pytest.raises(InputError, match=r"R58 does not answer .*: unplug it, plug it in again"):
        Adb("R58").connect()
    assert phone.connects == 3


def test_a_large_push_that_is_lost_is_made_again_in_small_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        def __init__(self, *_: object, **__: object) -> None:
            self._maxdata = 1 << 20

        def connect(self, **_: object) -> None:
            pass

        def close(self) -> None:
            pass

        def push(self, *_: object, **__: object) -> None:
            sizes.append(self._maxdata)
            if self._maxdata > 4096:
                raise TcpTimeoutException("Reading from 127.0.0.1:1 timed out (30 seconds)")

    sizes: list[int] = []
    monkeypatch.setattr(adb, "AdbDevice", Device)
    phone = Adb("127.0.0.1:1")
    phone.connect()
    with pytest.raises(ConnectionLost):
        phone.push(b"x", "/data/local/tmp/x")
    phone.connect()
    phone.push(b"x", "/data/local/tmp/x")
    assert sizes == [1 << 20, 4096]
