"""Run a study: build all of it with Snakemake, execute one stage, gather its pages, freeze results.

A stage is a notebook that papermill executes. While it runs, its page is `<name>.running.ipynb`, on
which the process holds a lock; a failed page is kept as `<name>.failed.ipynb`.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import pandas as pd
import psutil

from exe_core.record import (
    COMMAND,
    ROOT,
    digest,
    explain_disk_errors,
    locked,
    provenance,
    replacing,
    write_json,
    write_values,
)
from exe_core.study import Study, trial_name

NOTEBOOKS = ROOT / "notebooks"
EXECUTED = ROOT / "book" / "executed"
PROFILES = ROOT / "configs" / "profiles"

FROZEN_TABLES = (
    *("metrics", "confusion", "comparisons", "film_summary", "claims", "leakage_counts"),
    *("label_quality", "sentiment_metrics", "sentiment_comparisons"),
)
"""The tables of estimates that `freeze` keeps."""

FILM_ANALYSES = ("12-film-faces", "13-film-labels", "14-film-shares", "15-film-limits")
"""Stages of study film that every build executes, from predictions: their results aren't frozen."""


class StageError(RuntimeError):
    """A stage or a build can't run, or failed; a failed page says more."""


def build(study: Study, *, jobs: int = 2, profiles: tuple[str, ...] = ()) -> int:
    """Compute what is missing or stale of a study, and its book; return Snakemake's exit status.

    It uses `jobs` cores of this machine, or the cluster that `profiles` are of: names in
    `configs/profiles`, or folders with a config.yaml. One build at a time: the lock goes with this
    process and the Snakemake that it starts, so a killed one leaves none behind. It ends if the
    reader of its output goes away.
    """
    folders = [PROFILES / name if (PROFILES / name).exists() else Path(name) for name in profiles]
    where = [word for folder in folders for word in ("--profile", str(folder.resolve()))]
    command = [sys.executable, "-m", "snakemake", "--config", f"study={study.name}"]
    command += where or ["--cores", str(jobs)]
    command += ["--max-checksum-file-size", str(10**10), "--nolock", "--rerun-incomplete"]
    command += ["--quiet", "host", "progress", "reason", "rules", "--", "all"]
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for folder in (ROOT / ".snakemake", study.results):
        with explain_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=folder).close()  # else Snakemake fails, and in many words
    environment, lock = os.environ | {"PATH": tools}, ROOT / ".snakemake" / "build.lock"
    output = select.poll()
    for stream in (1, 2):
        output.register(stream, 0)
    with (
        locked(lock, f"another build in {ROOT}") as held,
        psutil.Popen(command, cwd=ROOT, env=environment, pass_fds=[held.fileno()]) as snakemake,
    ):
        while snakemake.poll() is None:
            # Snakemake waits for ever if the reader of its output goes away, as after `| head`.
            if any(event & select.POLLERR for _, event in output.poll(0)):
                for process in [*snakemake.children(recursive=True), snakemake]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                break
            time.sleep(0.2)
    return int(snakemake.returncode)


def book_folder(study: Study) -> Path:
    """Name the folder, in the root, whose _build/html holds the book: one for each real study."""
    return Path() if study.kind == "world" else Path("_build") / study.name


def run_stage(
    study: Study,
    notebook: str,
    *,
    parameters: Mapping[str, object],
    out: Path | None = None,
    writes: tuple[Path, ...] = (),
) -> str:
    """Execute a notebook of a study by papermill, and return what it took.

    Takes its name in `notebooks/`, such as "03-train", and name -> value, besides the study.
    Parameters that depart from the study make a trial. The page goes to `out`, by default into the
    results of the study or trial. The stage must leave the files `writes`; their digests are kept
    in `ledgers` beside the page's folder.

    A `StageError` is raised if there is no such notebook or parameter, the notebook fails or its
    kernel dies; a `BusyError` if another process writes the same page.
    """
    import papermill  # slow to import
    from traitlets.config import Config

    source = NOTEBOOKS / f"{notebook}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
        raise StageError(f"no notebook {notebook!r}; there are {known}")
    if unknown := set(parameters) - set(papermill.inspect_notebook(str(source))):
        raise StageError(
            f"{source.name} has no parameter {', '.join(sorted(unknown))}: see `papermill "
            f"--help-notebook notebooks/{source.name}`"
        )
    departs = {key: value for key, value in parameters.items() if key not in ("run", "trial")}
    trial = parameters.get("trial") or trial_name({"": departs})
    folder = study.results / "trials" / str(trial) if trial else study.results
    page = out or folder / "notebooks" / source.name
    working, failed = page.with_suffix(".running.ipynb"), page.with_suffix(".failed.ipynb")
    given = [f"{name}={value}" for name, value in {"study": study.name, **parameters}.items()]
    words = [word for one in given[1:] for word in ("-p", one)]
    os.environ[COMMAND] = " ".join(["exe stage", notebook, "--study", study.name, *words])
    started = time.monotonic()
    with (
        explain_disk_errors(study.results),
        locked(working, f"another execution of {source.name} into {page}"),
        TemporaryDirectory(prefix="exe-") as sockets,
    ):
        failed.unlink(missing_ok=True)
        try:
            papermill.execute_notebook(
                str(source),
                str(working),
                parameters={"study": study.name, **parameters},
                cwd=str(ROOT),
                kernel_name="python3",
                progress_bar=False,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
                # Ports are drawn at random, and two kernels that start at once may draw the same.
                config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
            )
        except (papermill.PapermillExecutionError, RuntimeError) as fault:
            what, cause = "its kernel died", "often for lack of memory"
            if isinstance(fault, papermill.PapermillExecutionError):
                what = f"failed in its cell {fault.exec_count}"
                cause = re.sub(r"\x1b\[[0-9;]*m", "", f"{fault.ename}: {fault.evalue}").strip()
            elif "Kernel died" not in str(fault):  # as nbclient says, also before it has answered
                raise
            working.replace(failed)
            raise StageError(
                f"{source.name}: {what} ({', '.join(given)})\n  {cause}\n  read it: {failed}\n"
                "  the same command again resumes at this stage"
            ) from None
        working.replace(page)
        if absent := [str(path) for path in writes if not path.exists()]:
            raise StageError(f"{source.name} ended without an error, but left no {absent[0]}")
        if writes:
            ledger = page.parents[1] / "ledgers" / f"{page.stem[3:]}.json"
            write_json({path.name: digest(path) for path in writes}, ledger)
    named = " ".join([notebook, *map(str, parameters.values())])
    return f"{named}: {time.monotonic() - started:.0f} s"


def assemble(study: Study, notebooks: tuple[Path, ...]) -> None:
    """Make the executed notebooks of a study, and no others, the pages of the book."""
    settings = pd.json_normalize(study.model_dump(mode="json"))  # as the prose cites: train.size
    write_values(study, "study", values=settings.iloc[0].to_dict())
    EXECUTED.mkdir(parents=True, exist_ok=True)
    pages: dict[str, list[dict[str, Any]]] = {}
    for path in notebooks:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        pages.setdefault(path.stem.removesuffix(f"-{_run_of(notebook)}"), []).append(notebook)
    for stale in EXECUTED.glob("*.ipynb"):
        if stale.stem not in pages:
            stale.unlink()
    for name, executed in pages.items():
        page, text = EXECUTED / f"{name}.ipynb", json.dumps(_joined(executed), ensure_ascii=False)
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            with replacing(page) as partial:
                partial.write_text(text, encoding="utf-8")


def _run_of(notebook: Mapping[str, Any]) -> str | None:
    """The run that an executed notebook is about, if it is about one."""
    return notebook["metadata"].get("papermill", {}).get("parameters", {}).get("run")


def _joined(executed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One page of a notebook that was executed for each run: its text once, results by run."""
    page = executed[0]
    if _run_of(page) is None:
        return page
    title = page["cells"][0]
    cells = [{**title, "source": "".join(title["source"]).replace("one run", "each run", 1)}]
    for k, notebook in enumerate(executed):
        heading = f"## {_run_of(notebook)}"
        cells.append({"cell_type": "markdown", "id": f"r{k}", "metadata": {}, "source": heading})
        for cell in notebook["cells"][1:]:
            own = {**cell, "id": f"{cell['id']}-{k}"}
            if k and cell.get("outputs"):
                tags = [*cell["metadata"].get("tags", []), "remove-input"]
                own["metadata"] = {**cell["metadata"], "tags": tags}
            if not k or cell.get("outputs"):
                cells.append(own)
    return {**page, "cells": cells}


def freeze(study: Study) -> int:
    """Keep what the book cites of a study in `data/frozen/<study>`.

    Of study film these are the predictions for film faces, of study confirm its table; each build
    computes from them what it shows. Of others these are tables of estimates, values, and the
    figures that a page of `book` cites as <study>/fig-.... Of pictures of faces only those that the
    synthetic world drew are kept: others are somebody's data. Returns how many files were kept.
    """
    target, results = ROOT / "data" / "frozen" / study.name, study.results
    alone = [*results.glob("film/*.parquet"), *results.glob("confirmation.csv")]
    copies = {target / path.name: path for path in alone}
    if not alone:
        pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md"))
        cited = set(re.findall(rf"\b{re.escape(study.name)}/(fig-[\w-]+)", pages))
        mark = "*.provenance.json" if study.kind == "world" else "*.vl.json"
        free = {path.name.partition(".")[0] for path in results.glob(f"figures/{mark}")}
        kept = [path for table in FROZEN_TABLES for path in results.glob(f"{table}.parquet")]
        kept += [path for path in results.glob("values/*.json") if path.stem != "study"]
        kept += [path for name in cited & free for path in results.glob(f"figures/{name}.*")]
        copies = {target / path.relative_to(results): path for path in kept}
    if not (copies and study.sets):
        why = f"make book STUDY={study.name} first" if study.sets else "each build computes them"
        raise StageError(f"study {study.name} has no results to freeze: {why}")
    origin = provenance(study)  # before the tree changes
    for part in ("values", "figures"):
        shutil.rmtree(target / part, ignore_errors=True)
    for table in FROZEN_TABLES:
        (target / f"{table}.parquet").unlink(missing_ok=True)
    for copy, path in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    write_json(origin, target / "provenance.json")
    return len(copies)
