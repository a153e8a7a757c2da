"""Files of images, made on the spot."""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

PNG = io.BytesIO()
Image.new("RGB", (12, 9), (10, 90, 200)).save(PNG, "PNG")


@pytest.fixture(scope="session")
def png() -> bytes:
    """A small image."""
    return PNG.getvalue()


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder, or a zip, of files: images by name, and others with their content."""

    def made(*images: str, others: dict[str, bytes] | None = None, empty: Sequence[str] = ()) -> Path:
        files = dict.fromkeys(images, PNG.getvalue()) | (others or {})
        if request.param == "zip":
            path = tmp_path / "photos.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for name in empty:
                    archive.writestr(name + "/", b"")
                for name, content in files.items():
                    archive.writestr(name, content)
            return path
        root = tmp_path / "photos"
        for name in (*empty, ""):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root

    return made
