"""torch's files: tensors come back as they were saved; bombs, code and everything else are refused in one line."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofa.errors import InputError
from ofa.reading.torch_file import read_torch_file


class Code:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return (Path("/tmp/never").touch, ())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_tensors_come_back(tmp_path: Path, zipped: bool, wrap: str | None) -> None:
    weights = {"a": torch.randn(300, 7), "b.c": torch.arange(5), "none": torch.zeros(0, 3)}
    weights["part"] = weights["a"][3:5]
    path = tmp_path / "w.pth"
    torch.save(weights if wrap is None else {wrap: weights, "epoch": 3}, path, _use_new_zipfile_serialization=zipped)
    found = read_torch_file(path)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, expected tensors by name"),
        ({"a": 1}, "'a' is a int, expected a tensor"),
        ({7: torch.zeros(2)}, "a tensor is called 7, expected a name"),
        ({"a": torch.zeros(1).expand(10**9)}, "'a' is no dense tensor"),
        ({"a": torch.eye(3).to_sparse()}, "'a' is no dense tensor"),
        ({"a": Code()}, "it would run code"),
    ],
)
def test_what_is_not_tensors_by_name_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "w.pth"
    for save in (torch.save, lambda value, to: to.write_bytes(pickle.dumps(value))):
        try:
            save(content, path)
        except (pickle.PicklingError, TypeError):
            continue
        with pytest.raises(InputError, match=f"w.pth: .*({message}|not a checkpoint of tensors alone)") as refused:
            read_torch_file(path)
        assert "weights_only" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, bomb = tmp_path / "w.pth", tmp_path / "bomb.pth"
    torch.save({"a": torch.zeros(2**20)}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert bomb.stat().st_size < path.stat().st_size / 100
    with pytest.raises(InputError, match="its parts are compressed"):
        read_torch_file(bomb)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_damaged_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "w.pth"
    zipped = data.draw(st.booleans())
    torch.save({"a": torch.arange(40.0), "b": torch.zeros(3, 3)}, path, _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content)[: data.draw(st.integers(0, len(content)))])
    try:
        found = read_torch_file(path)
    except InputError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())


def test_files_of_others_that_crashed_it(reference: Path) -> None:
    with pytest.raises(InputError, match=r"int_key\.pth"):
        read_torch_file(reference.parent / "cases" / "int_key.pth")
