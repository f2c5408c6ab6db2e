"""The profiles of clusters: Snakemake reads them, and every stage that they name is there."""

import re
import subprocess
import sys

import pytest
import yaml
from conftest import copy_project
from snakemake.cli import parse_args
from snakemake.profiles import ProfileConfigFileParser
from typer.testing import CliRunner

from exe_core import cli
from exe_core.study import ROOT

PROFILES = sorted((ROOT / "configs" / "profiles").glob("*/config.yaml"))
RULES = set(re.findall(r"^\s*rule (\w+):", (ROOT / "Snakefile").read_text(), flags=re.MULTILINE))


def read(path):
    with path.open() as stream:
        return ProfileConfigFileParser().parse(stream)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.parent.name)
def test_every_stage_that_a_profile_names_is_there(path):
    profile = read(path)
    threads = {entry.partition("=")[0] for entry in profile["set-threads"]}
    resources = {entry.partition(":")[0] for entry in profile["set-resources"]}
    groups = {entry.partition("=")[0] for entry in profile.get("groups", [])}
    assert threads | resources | groups <= RULES
    # the threads of training follow from the cores of one machine, if nothing is said
    assert "train" in threads


@pytest.mark.parametrize(("gpus", "asked"), [(None, 0), ("2", 2)])
def test_snakemake_takes_each_option_of_slurm(monkeypatch, gpus, asked):
    if gpus:
        monkeypatch.setenv("EXE_GPUS", gpus)
    folder = ROOT / "configs" / "profiles" / "slurm"
    _, options = parse_args(["--profile", str(folder), "--", "all"])
    assert options.executor == "slurm"
    assert options.retries > 0
    assert options.slurm_keep_successful_logs
    assert str(options.set_resources["train"]["gpu"].raw) == str(asked)


def test_kubernetes_names_no_option_that_snakemake_has_not():
    """Those of its plugins, which are not in the lock, can't be known here."""
    known = subprocess.run(
        [sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = set(read(ROOT / "configs" / "profiles" / "kubernetes" / "config.yaml"))
    own = {name for name in options if not name.startswith("kubernetes-")}
    assert options - own
    assert not [name for name in own if f"--{name}" not in known]


def test_a_profile_that_is_not_there_is_named_with_those_that_are():
    done = CliRunner().invoke(cli.app, ["build", "smoke", "--profile", "slrum"])
    assert done.exit_code == 1
    assert "no profile 'slrum'; there are kubernetes, slurm" in done.output


def test_the_profile_of_a_site_comes_after_that_of_the_paper(tmp_path):
    paper = str(ROOT / "configs" / "profiles" / "slurm")
    options = cli._where(["slurm", str(tmp_path)], 2)
    assert options == ["--profile", paper, "--profile", str(tmp_path)]
    assert cli._where([], 3) == ["--cores", "3"]


@pytest.mark.parametrize(("apart", "jobs"), [(True, {"4"}), (False, set())])
def test_films_are_decoded_by_a_job_each_where_a_study_says_so(tmp_path, apart, jobs):
    project = copy_project(tmp_path / "project")
    settings = yaml.safe_load((project.root / "configs" / "smoke.yml").read_text())
    settings["films"]["apart"] = apart
    (project.root / "configs" / "many.yml").write_text(yaml.safe_dump(settings))
    options = ["--cores", "1", "--dry-run", "--quiet", "rules"]
    plan = project.run("snakemake", "--config", "study=many", *options)
    assert plan.returncode == 0, plan.output[-2000:]
    assert set(re.findall(r"^screen +(\d+)$", plan.output, flags=re.MULTILINE)) == jobs
    assert set(re.findall(r"^films +(\d+)$", plan.output, flags=re.MULTILINE)) == {"1"}
