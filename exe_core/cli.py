"""`exe`: the command line that the Makefile and the Snakefile call."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

import typer
import yaml

from exe_core.commands import (
    claims_command,
    data_commands,
    figure_command,
    film_command,
    screen_command,
)
from exe_core.commands.executing import StageError, execute
from exe_core.commands.terminal import fail
from exe_core.config import ROOT, ConfigError, Study, load_study
from exe_core.record import COMMAND, digest, provenance, write_json, write_values
from exe_core.web.storage import StorageError, storage_told
from exe_core.writing import replacing

app = typer.Typer(
    help="Expressions Ensemble, re-examined: run the stages of a study.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_commands.app, name="data")
app.command()(film_command.film)
app.command()(figure_command.figure)
app.command()(claims_command.claims)
app.command()(screen_command.screen)
NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "book" / "executed"
PROFILES = ROOT / "configs" / "profiles"
FROZEN = (
    "metrics",
    "confusion",
    "variants",
    "comparisons",
    "variant_comparisons",
    "film_summary",
    "claims",
    "factorial",
    "leakage_counts",
    "label_quality",
    "sentiment_metrics",
    "sentiment_comparisons",
    "sentiment_choices",
)
"""The tables of estimates that `freeze` keeps."""

CHATTER = (
    "Assuming",
    "Building DAG",
    "Using shell",
    "Select jobs",
    "Execute ",
    "Elapsed",
    "Complete",
)
"""Lines of Snakemake that tell a reader nothing; no option of it leaves out just these."""

_RSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


def _study(name: str) -> Study:
    try:
        return load_study(name)
    except ConfigError as fault:
        fail(str(fault))


@app.command()
def check(name: Annotated[str, typer.Argument(help="the study, configs/<name>.yml")]) -> None:
    """Say whether everything that a study reads is there."""
    study = _study(name)
    try:
        missing = study.missing()
    except ConfigError as fault:
        fail(str(fault))
    if missing:
        lines = "\n".join(f"  {what}" for what in missing)
        fail(f"study {name} lacks\n{lines}\ndata/README.md says what each is and who has it")


def _provide(study: Study) -> None:
    """Fetch what a real study reads and is open, if no data folder is given."""
    if study.kind == "world" or os.environ.get("EXE_DATA"):
        return
    from exe_core.sets import open_sets  # slow to import

    paths = [entry.path for entry in study.sets.values()] + [study.films.path, study.published]
    names = open_sets.open_sets_at([path for path in paths if path])
    try:
        for name in names:
            open_sets.get(name)
    except open_sets.OpenSetError as fault:
        fail(f"study {study.name} was given no DATA=<folder>, and of what is open {fault}")
    if names:
        os.environ["EXE_DATA"] = str(open_sets.CACHE)


@app.command()
def build(
    study: Annotated[str, typer.Argument(help="the study, configs/<study>.yml")],
    jobs: Annotated[int, typer.Option(min=1, help="cores to use on this machine")] = 2,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="run on a cluster: slurm, kubernetes, or a folder with one's own"),
    ] = None,
) -> None:
    """Compute what is missing or stale of a study, and its book.

    One build at a time: the lock goes with the process and the Snakemake that it started, so a
    killed one leaves none behind. A study of real data that is given none takes what is open of it,
    once, from where it is public.
    """
    _provide(_study(study))
    check(study)
    with _lock(_study(study)) as lock:
        command = [sys.executable, "-m", "snakemake", "--config", f"study={study}"]
        command += [*_where(profile or [], jobs), "--max-checksum-file-size", str(10**10)]
        command += ["--nolock", "--rerun-incomplete"]
        command += ["--quiet", "host", "progress", "reason", "rules", "--", "all"]
        tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PATH": tools},
            pass_fds=[lock.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as snakemake:
            for line in snakemake.stdout or ():
                if not line.startswith(CHATTER):
                    typer.echo(line, nl=False)
    raise typer.Exit(snakemake.returncode)


@contextmanager
def _lock(study: Study) -> Iterator[IO[str]]:
    """Hold this folder for a build, or refuse if another has it or nothing can be written."""
    try:
        for folder in (ROOT / ".snakemake", study.results):
            with storage_told(folder):
                folder.mkdir(parents=True, exist_ok=True)
                TemporaryFile(dir=folder).close()  # else Snakemake fails, and in many words
        lock = (ROOT / ".snakemake" / "build.lock").open("w")
    except StorageError as fault:
        fail(str(fault))
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail("another build is under way in this folder: wait for it, or stop it")
        yield lock


def _where(profiles: list[str], jobs: int) -> list[str]:
    """Say to Snakemake where jobs run: on cores of this machine, or as profiles have it."""
    if not profiles:
        return ["--cores", str(jobs)]
    options = []
    for name in profiles:
        own = PROFILES / name
        if not own.is_dir() and not Path(name).exists():
            known = ", ".join(sorted(path.name for path in PROFILES.iterdir()))
            fail(f"no profile {name!r}; there are {known}, or give a folder with a config.yaml")
        options += ["--profile", str(own if own.is_dir() else Path(name).resolve())]
    return options


@app.command()
def stage(
    notebook: Annotated[str, typer.Argument(help="its name in notebooks/, e.g. 03-train")],
    study: Annotated[str, typer.Option(help="configs/<study>.yml")],
    out: Annotated[Path | None, typer.Option(help="where the executed notebook goes")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="where the digests of what it wrote are kept")
    ] = None,
    writes: Annotated[
        list[Path] | None, typer.Option(help="a file that the stage must leave")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="name=value, as YAML")
    ] = None,
) -> None:
    """Execute a notebook of a study; a failed one is kept, to be read."""
    settings = _study(study)
    source = NOTEBOOKS / f"{notebook}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
        fail(f"no notebook {notebook!r}; there are {known}")
    given = {"study": study} | dict(_parameter(text) for text in parameter or [])
    target = out or settings.results / "notebooks" / source.name
    started = time.monotonic()
    os.environ[COMMAND] = " ".join(
        ["exe stage", notebook, "--study", study, *(f"-p {text}" for text in parameter or [])]
    )
    try:
        with storage_told(settings.results):
            execute(source, target, parameters=given)
            absent = [str(path) for path in writes or [] if not path.exists()]
            if absent:
                raise StageError(f"{source.name} ended well and left no {', '.join(absent)}")
            if ledger:
                write_json({path.name: digest(path) for path in writes or []}, ledger)
    except (StageError, StorageError) as fault:
        fail(str(fault))
    seconds = time.monotonic() - started
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _RSS_PER_MIB
    named = " ".join([notebook, *(str(value) for key, value in given.items() if key != "study")])
    typer.echo(f"{named}: {seconds:.0f} s, {peak_mib:.0f} MiB at most")


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        fail(f"-p {text!r}: write name=value")
    return name, yaml.safe_load(value)


@app.command()
def convert_backbone(
    source: Annotated[Path, typer.Argument(help="MFN_msceleb.pth, as its authors released it")],
) -> None:
    """Take the weights out of DDAMFN's pickled backbone, running nothing of it; then `weights:
    msceleb` starts from them.
    """
    from exe_core.backbones import released

    try:
        written = released.convert_backbone(source, released.backbone_path())
    except (released.CheckpointError, OSError) as fault:
        fail(str(fault))
    typer.echo(f"the weights of {source.name} are in {written}")


@app.command()
def freeze(name: Annotated[str, typer.Argument(help="a study that has been computed")]) -> None:
    """Keep a study's estimates, values and cited figures with the paper, in data/frozen/<study>.

    A figure is cited by a page of `book` as <study>/fig-.... Of pictures of faces only those are
    kept that the world drew: others are somebody's data.
    """
    study = _study(name)
    target = ROOT / "data" / "frozen" / name
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md"))
    cited = set(re.findall(rf"\b{re.escape(name)}/(fig-[\w-]+)", pages))
    mark = "*.provenance.json" if study.kind == "world" else "*.vl.json"
    free = {path.name.partition(".")[0] for path in study.results.glob(f"figures/{mark}")}
    kept = [study.table(table) for table in FROZEN if study.table(table).exists()]
    kept += [path for path in study.results.glob("values/*.json") if path.stem != "study"]
    if not kept:
        fail(f"study {name} has no results to freeze: make book STUDY={name} first")
    kept += [
        path
        for path in study.results.glob("figures/*")
        if path.name.partition(".")[0] in cited & free
    ]
    origin = provenance(study)  # before the tree changes
    shutil.rmtree(target, ignore_errors=True)
    for path in kept:
        copy = target / path.relative_to(study.results)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    write_json(origin, target / "provenance.json")
    typer.echo(f"{len(kept)} files of {name} are frozen in {target.relative_to(ROOT)}")
    if absent := sorted(cited - free):
        fail(f"a page cites of {name} what can't be frozen: {', '.join(absent)}")


@app.command()
def assemble(
    study: Annotated[str, typer.Argument(help="the study whose notebooks become the pages")],
    notebooks: Annotated[list[Path], typer.Argument(help="executed notebooks")],
) -> None:
    """Make the executed notebooks of a study, and no other, the pages of the book."""
    settings = _study(study)
    write_values(settings, "study", values=_flat(settings.model_dump(mode="json")))
    EXECUTED.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in notebooks}
    for stale in EXECUTED.glob("*.ipynb"):
        if stale.name not in names:
            stale.unlink()
    for path in notebooks:
        page, text = EXECUTED / path.name, _titled(path)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            with replacing(page) as partial:
                partial.write_text(text, encoding="utf-8")


def _titled(path: Path) -> str:
    """Give an executed notebook as a page: its title names the run that it is about."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    run = notebook["metadata"].get("papermill", {}).get("parameters", {}).get("run")
    if run:
        source = "".join(notebook["cells"][0]["source"])
        title, _, rest = source.partition("\n")
        notebook["cells"][0]["source"] = f"{title}: {run}\n{rest}"
    return json.dumps(notebook, ensure_ascii=False)


def _flat(settings: dict, prefix: str = "") -> dict[str, object]:
    """Name the settings as the prose cites them: {"train": {"size": 64}} -> {"train.size": 64}."""
    flat: dict[str, object] = {}
    for key, value in settings.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


if __name__ == "__main__":
    app()
