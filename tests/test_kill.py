"""However a study is stopped, the same command goes on, and ends with the very same results.

pytest tests/test_kill.py --write-kills makes data/frozen/kills of 50 kills and of each fault of the
machine, in less than an hour on two cores. Stopped, it goes on with the next; it says where it is.
"""

import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import Project, copy_project
from fault_trials import small_disk
from kill_trials import MACHINE, Build, differences, met
from typer.testing import CliRunner

from exe_core import cli
from exe_core.record import digest, provenance, replacing, write_json
from exe_core.study import ROOT, load_study

TABLE = ROOT / "data" / "frozen" / "kills"
BUILDS, KILLS_A_BUILD, MACHINE_TRIES = 5, 10, 1
FEW_KILLS = 3
LONGEST_S = 40.0
"""A build is killed after up to so many seconds: some stages of the study take 20."""
TRIED = ("Snakefile", "configs/smoke.yml", "tests/kill_trials.py", "tests/test_kill.py")


@pytest.fixture(scope="module")
def stash(request):
    """Where the trials of the table are kept, so that a stopped run goes on; None without it."""
    if not request.config.getoption("--write-kills"):
        return None
    code = [*(ROOT / "exe_core").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
    key = digest(*(ROOT / name for name in TRIED), *sorted(code))
    folder = Path(tempfile.gettempdir()) / f"exe-kills-{key[:12]}"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def reference(request, stash):
    """The smoke study, run to its end in peace."""
    if stash is None:
        return Build(request.getfixturevalue("smoke"), "smoke", Path("no log"))
    done = stash / "reference.json"
    if not done.exists():
        shutil.rmtree(stash / "reference", ignore_errors=True)
        build = Build(copy_project(stash / "reference"), "smoke", stash / "reference.log")
        started = time.monotonic()
        build.finish()
        write_json({"seconds": time.monotonic() - started}, done)
        say(f"undisturbed: {time.monotonic() - started:.0f} s")
    return Build(Project(stash / "reference"), "smoke", stash / "reference.log")


def say(text):
    """Tell the progress, past what pytest holds back."""
    sys.__stderr__.write(f"{text}\n")
    sys.__stderr__.flush()


def kills_of(reference, folder, *, seed, n_kills=KILLS_A_BUILD):
    """Kill a build from nothing on; list the stages it was killed in, and what it lost."""
    shutil.rmtree(folder, ignore_errors=True)
    build = Build(copy_project(folder / "project"), "smoke", folder / "log.txt")
    stages = build.killed(n_kills, random.Random(seed), longest_s=LONGEST_S)
    return {
        "stages": stages,
        "lost": differences(reference.project.root, build.project.root, "smoke"),
    }


def met_by(name, reference, folder, *, seed):
    """Have a build meet a fault of the machine; list what it lost."""
    return {"lost": met(name, reference, folder / "machine", seed=seed)}


def kept(path, make):
    """Make what is not yet there, and keep it as JSON."""
    if not path.exists():
        started = time.monotonic()
        content = make()
        write_json(content | {"seconds": time.monotonic() - started}, path)
        say(f"{path.stem}: {content}")
    return json.loads(path.read_text())


def rows_of(builds, faults):
    """Count, by the stage that was killed and by the fault of the machine."""
    rows = {}
    for told in builds:
        for stage, n_kills in Counter(told["stages"]).items():
            row = rows.setdefault(f"killed, {stage}", Counter())
            row["tries"] += n_kills
            row["survived"] += n_kills * (not told["lost"])
            row["lost"] += len(told["lost"])
    for name, tries in faults.items():
        rows[name] = Counter(
            tries=len(tries),
            survived=sum(not told["lost"] for told in tries),
            lost=sum(len(told["lost"]) for told in tries),
        )
    counted = ("tries", "survived", "lost")
    return [{"fault": name, **{key: row[key] for key in counted}} for name, row in rows.items()]


@pytest.mark.slow
def test_the_table_of_kills(reference, stash):
    if stash is None:
        pytest.skip("it is made by --write-kills, in less than an hour")
    builds = [
        kept(stash / f"build-{k}.json", partial(kills_of, reference, stash / "build", seed=k))
        for k in range(BUILDS)
    ]
    faults = {
        name: [
            kept(stash / f"{name}-{k}.json", partial(met_by, name, reference, stash, seed=k))
            for k in range(MACHINE_TRIES)
        ]
        for name in MACHINE
    }
    rows = rows_of(builds, faults)
    with replacing(TABLE / "kills.csv") as path:
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
    about = provenance(load_study("smoke"), inputs=[ROOT / name for name in TRIED], seed=0)
    how = {"command": "pytest tests/test_kill.py --write-kills", "disk": "a tmpfs of 600 MiB"}
    write_json({**about, **how}, TABLE / "provenance.json")
    assert all(row["survived"] == row["tries"] and not row["lost"] for row in rows), rows


@pytest.mark.slow
def test_a_killed_build_ends_with_the_same_results(reference, stash, tmp_path):
    if stash is not None:
        pytest.skip("the table has it")
    told = kills_of(reference, tmp_path / "build", seed=99, n_kills=FEW_KILLS)
    assert len(told["stages"]) == FEW_KILLS
    assert not told["lost"]


@pytest.mark.slow
def test_a_build_that_its_machine_stopped_goes_on(reference, stash, tmp_path):
    """One of the faults; the table has them all, and each takes more than a minute."""
    if stash is not None:
        pytest.skip("the table has it")
    try:
        told = met_by("disk full", reference, tmp_path, seed=0)
    except PermissionError as reason:
        pytest.skip(f"no disk can be mounted: {reason}")
    assert not told["lost"]


@pytest.fixture
def build(tmp_path):
    """A build that starts a child in a session of its own, and waits for it."""
    child = "import time; time.sleep(60)"
    parent = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}, 'stage', '03-train'], "
        "start_new_session=True)"
    )
    (tmp_path / "project").mkdir()
    command = (sys.executable, "-c", parent)
    return Build(Project(tmp_path / "project"), "x", tmp_path / "log.txt", command)


def test_a_power_cut_reaches_every_process(build):
    process = build.start()
    while len(build.processes()) < 2:
        time.sleep(0.01)
    assert build.power_cut() == "train"
    assert process.wait() == -signal.SIGKILL
    assert build.processes() == []


def test_orphans_are_reached_too(build):
    process = build.start()
    while len(build.processes()) < 2:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert len(build.processes()) == 1
    build.power_cut()
    assert build.processes() == []


def test_a_build_that_ends_before_is_not_killed(build):
    ends = Build(build.project, "x", build.log, (sys.executable, "-c", "pass"))
    assert ends.killed(2, random.Random(0), longest_s=60) == []
    with pytest.raises(AssertionError, match="in spite of the fault"):
        ends.fails()


def test_a_build_that_fails_survives_nothing(build):
    fails = Build(build.project, "x", build.log, (sys.executable, "-c", "exit(3)"))
    with pytest.raises(AssertionError, match="exit 3"):
        fails.killed(2, random.Random(0), longest_s=60)


def test_what_differs_is_found_and_times_are_no_difference(tmp_path):
    for name, seconds in (("one", 1.0), ("two", 2.0)):
        folder = tmp_path / name / "data" / "results" / "x"
        (folder / "ledgers").mkdir(parents=True)
        table = pd.DataFrame({"epoch": [1], "loss": [0.5], "seconds": [seconds]})
        table.to_parquet(folder / "history.parquet")
        table.to_csv(folder / "history.csv", index=False)
        write_json({"a": 1, "seconds": seconds}, folder / "card.json")
        write_json({"history.parquet": name}, folder / "ledgers" / "train.json")
    one, two = (tmp_path / name for name in ("one", "two"))
    assert differences(one, two, "x") == []
    folder = two / "data" / "results" / "x"
    table.assign(loss=0.6).to_parquet(folder / "history.parquet")
    table.assign(loss=0.6).to_csv(folder / "history.csv", index=False)
    write_json({"a": 2}, folder / "card.json")
    (folder / ".history.parquet.99").touch()
    assert [told.rpartition("/")[2] for told in differences(one, two, "x")] == [
        ".history.parquet.99 is in one only",
        "card.json differs",
        "history.csv differs",
        "history.parquet differs",
    ]


def test_rows_count_kills_by_stage_and_what_was_lost():
    builds = [{"stages": ["pull", "pull", "book"], "lost": []}, {"stages": ["pull"], "lost": ["a"]}]
    assert rows_of(builds, {"disk full": [{"lost": []}]}) == [
        {"fault": "killed, pull", "tries": 3, "survived": 2, "lost": 1},
        {"fault": "killed, book", "tries": 1, "survived": 1, "lost": 0},
        {"fault": "disk full", "tries": 1, "survived": 1, "lost": 0},
    ]


class TestStage:
    """What a stage says that its machine stops; no notebook gets to run."""

    @pytest.fixture
    def home(self, tmp_path, monkeypatch):
        (tmp_path / "notebooks").mkdir()
        cells = [nbformat.v4.new_code_cell("study = 'smoke'")]
        cells[0].metadata["tags"] = ["parameters"]
        kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
        page = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(page, tmp_path / "notebooks" / "09-x.ipynb")
        monkeypatch.setattr(cli, "NOTEBOOKS", tmp_path / "notebooks")
        home = tmp_path / "home"
        home.mkdir()
        monkeypatch.setenv("EXE_HOME", str(home))
        return home

    def run(self):
        return CliRunner().invoke(cli.app, ["stage", "09-x", "--study", "smoke"])

    @pytest.fixture
    def mount(self, home):
        try:
            with small_disk(home, size="256k") as mount:
                yield mount
        except PermissionError as reason:
            pytest.skip(f"no disk can be mounted: {reason}")

    def test_of_a_full_disk_it_says_so_and_fails(self, home, mount):
        (home / "ballast").write_bytes(bytes(shutil.disk_usage(home).free))
        done = self.run()
        assert done.exit_code == 1
        assert "No space left on device): free some space and run the same again" in done.output
        assert "Traceback" not in done.output

    def test_of_a_folder_that_is_read_only_it_says_so_and_fails(self, home, mount):
        mount("remount", "ro")
        done = self.run()
        assert done.exit_code == 1
        assert "Read-only file system): make the folder writable" in done.output
        assert "Traceback" not in done.output

    def test_a_build_says_so_before_it_begins(self, home, mount):
        mount("remount", "ro")
        done = CliRunner().invoke(cli.app, ["build", "smoke"])
        assert done.exit_code == 1
        assert "Read-only file system): make the folder writable" in done.output
