"""What archives and services read of the project is valid, and says the same everywhere."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import exe_core
from exe_core.record import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
ZENODO = json.loads((ROOT / ".zenodo.json").read_text())
BINDER = ROOT / "binder"


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


def test_binder_takes_its_python_from_the_project():
    version = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f">={version}" in PROJECT["requires-python"]
    assert os.access(BINDER / "postBuild", os.X_OK)
