"""What archives, services and installers read of the project is valid, and agrees."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import exe_core
from exe_core.record import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
ZENODO = json.loads((ROOT / ".zenodo.json").read_text())


def test_the_citation_is_valid():
    program = Path(sys.executable).with_name("cffconvert")
    command = [program, "--validate", "-i", ROOT / "CITATION.cff"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_archive_has_what_it_needs_and_agrees_with_the_citation():
    assert {"title", "description", "upload_type", "creators", "license"} <= ZENODO.keys()
    assert PROJECT["version"] == exe_core.__version__ == CITATION["version"] == ZENODO["version"]
    assert CITATION["title"] == ZENODO["title"]
    assert [a["name"] for a in CITATION["authors"]] == [c["name"] for c in ZENODO["creators"]]
    assert CITATION["license"] == ZENODO["license"]
    assert CITATION["license"] in PROJECT["license"]
    binder = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f">={binder}" in PROJECT["requires-python"]


def test_every_dependency_is_locked_at_a_version_that_it_allows():
    pairs = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", LOCK, flags=re.MULTILINE)
    pins = {canonicalize_name(name): version for name, version in pairs}
    extras = [PROJECT["optional-dependencies"][name] for name in ("study", "book", "test")]
    for requirement in map(Requirement, sum(extras, PROJECT["dependencies"])):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{requirement} is not in requirements.lock: run `make lock`"
        assert pins[name] in requirement.specifier, f"{requirement} but locked {pins[name]}"


def test_every_locked_package_is_hashed_and_none_names_a_registry():
    packages = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)
    assert all("--hash=sha256:" in package for package in packages if package.strip())
    assert "://" not in LOCK
