"""requirements.lock: every package but torch, by the hashes of its files, at the versions of constraints.txt."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

ROOT = Path(__file__).resolve().parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PYTHON = {"python_version": "3.11", "python_full_version": "3.11.0"}  # the lock's


def locked(text: str) -> dict[str, tuple[str, int]]:
    """{package: its version, how many hashes it has}; AssertionError for a line that is neither."""
    found: dict[str, tuple[str, int]] = {}
    name = ""
    for line in text.splitlines():
        if re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            found[name] = (found[name][0], found[name][1] + 1)
        elif line and not line.lstrip().startswith("#"):
            requirement = Requirement(line.removesuffix(" \\"))
            (exact,) = requirement.specifier
            assert exact.operator == "==", line
            name = canonical(requirement.name)
            assert name not in found, line
            found[name] = (exact.version, 0)
    return found


def faults(text: str) -> list[str]:
    """What a lock lacks, or has otherwise than constraints.txt."""
    found = locked(text)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    wanted = {canonical(p.name): str(p.specifier)[2:] for p in pins if p.marker is None or p.marker.evaluate(PYTHON)}
    missing = [f"no {name}" for name in sorted(demanded()) if name not in found and name != "torch"]
    other = [f"{name}=={found[name][0]}" for name in found if wanted.get(name, found[name][0]) != found[name][0]]
    return [*missing, *other, *(f"{name} has no hash" for name, (_, hashes) in found.items() if not hashes)]


def demanded() -> set[str]:
    """What pyproject.toml asks for, to develop and to build."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, left, seen = content["project"], ["dev"], set[str]()
    names = {canonical(Requirement(text).name) for text in content["build-system"]["requires"]}
    asked = [Requirement(text) for text in project["dependencies"]]
    while left:
        seen.add(extra := left.pop())
        for requirement in map(Requirement, project["optional-dependencies"][extra]):
            asked.append(requirement)
            if requirement.name == project["name"]:
                left += requirement.extras - seen
    names |= {canonical(r.name) for r in asked if r.marker is None or r.marker.evaluate(PYTHON)}
    return names - {project["name"]}


def test_everything_is_hashed_at_the_versions_of_the_constraints() -> None:
    assert faults(LOCK) == []
    assert len(demanded()) >= 30
    assert "torch" not in locked(LOCK)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r"(?m)^numpy==1\.26\.4 ", "numpy==1.26.3 ", "numpy==1.26.3"),
        (r"(?ms)^pillow==.*?# via\n", "", "no pillow"),
        (r"(?ms)^scipy==([^ ]*) \\\n(    --hash[^\n]*\n)*", r"scipy==\1\n", "scipy has no hash"),
        (r"(?ms)^ray==([^ ]*) \\\n(    --hash[^\n]*\n)*", "", "no ray"),
        (r"(?ms)^setuptools==([^ ]*) \\\n(    --hash[^\n]*\n)*", "", "no setuptools"),
    ],
)
def test_a_planted_fault_is_found(old: str, new: str, fault: str) -> None:
    planted, count = re.subn(old, new, LOCK, count=1)
    assert count == 1
    assert faults(planted) == [fault]


def test_the_workflows_install_by_it() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                if re.search(r"make .venv|\.ci/run", step.get("run", "")):
                    assert step["env"]["LOCKED"] == "1", path.name
