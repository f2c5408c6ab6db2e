"""A study on a SLURM of one node that is started here: killed in the middle, and the same results.

The daemons have a key, ports and folders of their own and end with the tests; an installed cluster
is neither asked nor changed. There is no accounting, so jobs are asked for by squeue.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest
import yaml
from conftest import copy_project

from exe_core.record import ROOT

LACKING = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"no {', '.join(LACKING)}: install slurm-wlm"),
    pytest.mark.skipif(os.getuid() != 0, reason="slurmd starts jobs as root only"),
]

SMOKE = yaml.safe_load((ROOT / "configs" / "smoke.yml").read_text())
RUNS = ("fer2013", "rafdb")
STUDY = {part: SMOKE[part] for part in ("kind", "title", "crop", "train", "films")}
STUDY |= {part: {name: SMOKE[part][name] for name in RUNS} for part in ("sets", "runs")}
STUDY["world"] = SMOKE["world"] | {"n_films": 2, "film_seconds": 10, "keyword_noise": {}}
SITE = """
slurm-status-command: squeue
slurm-init-seconds-before-status-checks: 2
seconds-between-status-checks: 2
set-threads: {train: 1}
"""
"""What a cluster adds to the profile of the paper; as many threads as on two cores."""

CONF = """
ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MinJobAge=3600
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
STAGES = ["world", "crop", "films"]
STAGES += [f"{stage}-{run}" for stage in ("train", "predict") for run in RUNS]
PATIENCE_S = 1800


def ask(*command):
    """Run a command of SLURM; give its lines."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def jobs_of(rule):
    """List the jobs of a rule, also ended ones: number -> state."""
    lines = ask("squeue", "--states=all", "--noheader", "--format=%i|%T|%k")
    return {n: state for n, state, what in (line.split("|") for line in lines) if what == rule}


def is_idle():
    """Whether the controller answers, and its node waits for jobs."""
    done = subprocess.run(["sinfo", "--noheader", "--format=%t"], capture_output=True, text=True)
    return done.stdout.split() == ["idle"]


def wait_for(there, process=None):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := there()):
        assert time.monotonic() < deadline, "it did not come"
        assert process is None or process.poll() is None, "it ended before"
        time.sleep(0.2)
    return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def daemon(*command, folder):
    """Run a daemon as a child of this process."""
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of this machine: munge, the controller and one node."""
    folder, host = tmp_path_factory.mktemp("slurm"), socket.gethostname().partition(".")[0]
    for name in ("bin", "state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").touch(mode=0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(folder=folder, host=host, ports=[free_port(), free_port()]))
    srun = folder / "bin" / "srun"  # in jobs the executor takes SLURM_CONF away
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    files = {"key-file": "key", "socket": "socket", "log-file": "out", "pid-file": "pid"}
    files["seed-file"] = "seed"
    munged = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as daemons:
        patch.setenv("SLURM_CONF", str(conf))
        patch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")
        for command in (
            ["munged", "--foreground", "--force", *munged],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", host],
        ):
            started = daemons.enter_context(daemon(*command, folder=folder))
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, started)
        wait_for(is_idle, started)
        yield
        ask("scancel", "--user=root")
        wait_for(lambda: not ask("squeue", "--noheader"))


def snakemake(project, *where):
    """Give the plain call, without the book: stages of the study, here or on a cluster."""
    targets = [f"{project.root}/data/results/tiny/ledgers/{stage}.json" for stage in STAGES]
    return ["snakemake", "--config", "study=tiny", "--nolock", *where, "--", *targets]


def digests(project, stage):
    ledgers = project.root / "data" / "results" / "tiny" / "ledgers"
    return json.loads((ledgers / f"{stage}.json").read_text())


@pytest.mark.usefixtures("slurm")
def test_a_study_on_slurm_survives_a_killed_job_and_gives_the_same_results(tmp_path):
    """Two copies of the project: one runs on this machine, one on the cluster."""
    here, there = (copy_project(tmp_path / name) for name in ("here", "there"))
    for project in (here, there):
        (project.root / "configs" / "tiny.yml").write_text(yaml.safe_dump(STUDY))
    (tmp_path / "config.yaml").write_text(SITE)
    log, killed = tmp_path / "slurm.log", "rule_train_wildcards_fer2013"
    page = there.root / "data/results/tiny/notebooks/03-train-fer2013.running.ipynb"
    profiles = ["--profile", "configs/profiles/slurm", "--profile", str(tmp_path)]
    with log.open("w") as lines:
        running = subprocess.Popen(
            snakemake(there, *profiles),
            cwd=there.root,
            env=there.environment,
            stdout=lines,
            stderr=subprocess.STDOUT,
        )
        wait_for(page.exists, running)
        [first] = jobs_of(killed)
        ask("scancel", first)
        running.wait(PATIENCE_S)
    assert running.returncode == 0, log.read_text()[-4000:]
    assert sorted(jobs_of(killed).values()) == ["CANCELLED", "COMPLETED"]
    done = here.run(*snakemake(here, "--cores", "2"))
    assert done.returncode == 0, done.output[-4000:]
    for stage in STAGES:
        of_machine, of_cluster = digests(here, stage), digests(there, stage)
        kept = ["model.safetensors"] if stage.startswith("train") else of_machine
        for name in kept:  # the history of a training holds seconds, too
            assert of_cluster[name] == of_machine[name], f"{stage}: {name}"
    done = there.run(*snakemake(there, "--cores", "2", "--dry-run"))
    assert "Nothing to be done" in done.output, "the flag says where, and changes nothing else"
