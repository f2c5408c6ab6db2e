"""Every line of the lock is a package with one version and its hashes, and all are in the bill."""

import json

import pytest
from typer.testing import CliRunner

from exe_core.cli import app
from exe_core.commands import sbom_command
from exe_core.commands.sbom_command import LOCK, LockError, Package, bill, read_lock

HASH = "0" * 63 + "a"


def test_the_lock_pins_and_hashes_each_line():
    packages = read_lock(LOCK)
    assert len(packages) > 100
    names = [package.name for package in packages]
    assert {"numpy", "torch", "snakemake"} <= set(names)
    assert LOCK.read_text().count("--hash=sha256:") == sum(len(each.hashes) for each in packages)
    assert all(len(set(each.hashes)) == len(each.hashes) for each in packages)


def test_a_package_is_read_with_where_it_is_installed(tmp_path):
    text = f"# a lock\na.B==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{HASH}\n\n"
    (tmp_path / "lock").write_text(text + f"c==2 --hash=sha256:{HASH} --hash=sha256:{HASH}\n")
    assert read_lock(tmp_path / "lock") == [
        Package("a.B", "1.0", "sys_platform == 'linux'", (HASH,)),
        Package("c", "2", None, (HASH, HASH)),
    ]


@pytest.mark.parametrize(
    "line",
    [
        f"a>=1.0 --hash=sha256:{HASH}",
        "a==1.0",
        f"a --hash=sha256:{HASH}",
        f"a==1.0 --hash=md5:{HASH}",
        f"a==1.0 --hash=sha256:{HASH} --hash=sha256:short",
        f"a @ https://example.org/a.whl --hash=sha256:{HASH}",
        f"-e . --hash=sha256:{HASH}",
        "--index-url https://example.org",
    ],
)
def test_a_line_that_leaves_open_what_is_installed_is_refused(tmp_path, line):
    (tmp_path / "lock").write_text(f"{line}\n")
    with pytest.raises(LockError, match="one version and its hashes: make lock"):
        read_lock(tmp_path / "lock")


def test_the_bill_names_each_package_once_and_is_the_same_for_the_same_lock(tmp_path):
    out = tmp_path / "sbom.json"
    for _ in range(2):
        done = CliRunner().invoke(app, ["sbom", "--out", str(out)])
        assert done.exit_code == 0, done.output
        told = json.loads(out.read_text())
        assert told == json.loads(json.dumps(bill(read_lock(LOCK), of=sbom_command.digest(LOCK))))
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    references = [each["bom-ref"] for each in told["components"]]
    assert len(references) == len(read_lock(LOCK))
    assert any(each.startswith("pkg:pypi/jupyter-book@1.") for each in references)
    assert "://" not in out.read_text()
