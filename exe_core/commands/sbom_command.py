"""`exe sbom`: the packages that the lock installs, as a bill of materials in CycloneDX's JSON."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from exe_core import __version__
from exe_core.commands.terminal import fail
from exe_core.config import ROOT
from exe_core.record import digest, write_json

LOCK = ROOT / "requirements.lock"

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;]+)(\s*;(?P<marker>.+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")


class LockError(ValueError):
    """A line of the lock does not say what is installed, to the byte."""


class Package(NamedTuple):
    """A package of the lock."""

    name: str
    version: str
    marker: str | None
    """Where it is installed, as PEP 508 writes it; everywhere if None."""
    hashes: tuple[str, ...]
    """SHA-256 of the files that it may come as."""


def sbom(
    out: Annotated[Path, typer.Option(help="where it goes")] = Path("_build/sbom.cdx.json"),
) -> None:
    """Write what the lock installs as a bill of materials (CycloneDX 1.5): names, hashes, where."""
    try:
        packages = read_lock(LOCK)
    except LockError as fault:
        fail(str(fault))
    write_json(bill(packages, of=digest(LOCK)), out)
    typer.echo(f"{len(packages)} packages in {out}")


def read_lock(path: Path) -> list[Package]:
    """List the packages of a lock.

    Raises
    ------
    LockError
        If one has no single version or no hash.
    """
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [_package(line) for line in lines if line.strip() and not line.startswith("#")]


def _package(line: str) -> Package:
    pinned, _, rest = line.partition("--hash")
    found, hashes = _PIN.fullmatch(pinned.strip()), _HASH.findall(f"--hash{rest}" if rest else "")
    if found is None or not hashes or len(hashes) != line.count("--hash"):
        raise LockError(f"{line[:80]!r} is no package with one version and its hashes: make lock")
    marker = found["marker"] and found["marker"].strip()
    return Package(found["name"], found["version"], marker, tuple(hashes))


def bill(packages: list[Package], *, of: str) -> dict[str, Any]:
    """Make the bill of materials of some packages.

    Parameters
    ----------
    packages
        What is installed.
    of
        What they were read from: the same gives the same bill.
    """
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, of)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "name": "exe-core", "version": __version__}
        },
        "components": [_component(package) for package in packages],
    }


def _component(package: Package) -> dict[str, Any]:
    url = f"pkg:pypi/{re.sub(r'[-_.]+', '-', package.name).lower()}@{package.version}"
    where = {"properties": [{"name": "marker", "value": package.marker}]} if package.marker else {}
    return {
        "type": "library",
        "bom-ref": url,
        "name": package.name,
        "version": package.version,
        "purl": url,
        "hashes": [{"alg": "SHA-256", "content": each} for each in package.hashes],
        **where,
    }
