"""Studies far larger than any that was run: their plans, and their film tables, timed.

Nothing is decoded or learned: the films are empty files, and the answers are drawn.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from exe_core import films as film_shares
from exe_core import schema
from exe_core.commands.progress import JUDGED_BY
from exe_core.config import Study
from exe_core.findings import selections
from exe_core.footage.timelines import timeline
from exe_core.schema.checks import ROWS_READ_AT_ONCE
from exe_core.settings import Crop, Train

PLANNED = ((60, 10), (1000, 20))
"""Films and models of the plans."""


LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT
"""See whether a process has ended, and leave it to be waited for."""


def peak_mib(process: int | str = "self") -> float:
    """Read the peak of a process's memory; its resource usage would count that of its parent."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    return 0.0  # it has ended


class Plan(NamedTuple):
    """How long Snakemake took to plan a study from nothing, and how large it grew."""

    films: int
    models: int
    jobs: int
    seconds: float
    processor_s: float
    peak_mib: float


def settings(n_models: int) -> dict[str, object]:
    """Make the settings of a study of so many models, with a job for each film."""
    runs = {f"run{k:02d}": {"sets": ["faces"], "train": {"seed": k}} for k in range(n_models)}
    return {
        "kind": "real",
        "title": "A study of made-up size",
        "sets": {"faces": {"kind": "folder", "path": "faces"}},
        "runs": runs,
        "ensembles": {"all": list(runs)},
        "films": {"path": "films", "apart": True},
    }


def plan(root: Path, folder: Path, *, n_films: int, n_models: int) -> Plan:
    """Plan a study of so many films and models.

    Parameters
    ----------
    root
        A copy of the project, which is given the study "size".
    folder
        Where its data are made and its results would go.
    """
    (folder / "films").mkdir(parents=True)
    (folder / "faces").mkdir()
    for k in range(n_films):
        (folder / "films" / f"film{k:04d}.mp4").touch()
    (root / "configs" / "size.yml").write_text(yaml.safe_dump(settings(n_models)))
    command = [sys.executable, "-m", "snakemake", "--config", "study=size", *JUDGED_BY]
    places = {"EXE_DATA": str(folder), "EXE_HOME": str(folder / "home"), "PYTHONPATH": str(root)}
    began = time.monotonic()
    with (folder / "planned").open("w") as planned:
        process = subprocess.Popen(
            [*command, "--cores", "2", "--dry-run", "--quiet", "rules", "--", "all"],
            cwd=root,
            env=os.environ | places,
            stdout=planned,
            stderr=subprocess.STDOUT,
        )
        peak = 0.0
        while os.waitid(os.P_PID, process.pid, LOOK) is None:
            peak = max(peak, peak_mib(process.pid))
            time.sleep(0.02)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    told = (folder / "planned").read_text()
    assert process.returncode == 0, told[-2000:]
    total = next(line for line in told.splitlines() if line.startswith("total"))
    return Plan(
        films=n_films,
        models=n_models,
        jobs=int(total.split()[1]),
        seconds=round(time.monotonic() - began, 1),
        processor_s=round(used.ru_utime + used.ru_stime, 1),
        peak_mib=round(peak),
    )


FRAMES_A_FILM = 2 * 3600 * 24 // 100
"""Every 100th frame of two hours at 24 frames a second."""
SHARE_WITH_FACE = 0.7


def write_answers(study: Study, *, n_films: int, n_models: int, seed: int = 0) -> int:
    """Write tables "frames" and "film_predictions" of made-up films; give the rows of the latter.

    Answers are drawn; probabilities are kept in single precision.
    """
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(n_films), FRAMES_A_FILM)
    frame = 100 * np.tile(np.arange(FRAMES_A_FILM), n_films)
    film = pd.Series(number).map(dict(enumerate(films(n_films))))
    shown = rng.random(len(frame)) < SHARE_WITH_FACE
    frames = pd.DataFrame(
        {"film_id": film, "frame": frame, "time_s": frame / 24, "n_faces": shown.astype(int)}
    )
    schema.write(frames, study.table("frames"), name="frames")
    items = (film + ":" + pd.Series(frame).map("{:06d}".format))[shown].to_numpy()
    asked = {"item_id": items, "set_name": "films", "split": "test", "group_id": film[shown].array}
    columns = schema.prob_columns(study.labels)
    weights = rng.random((len(items), len(columns)), dtype=np.float32) ** 4
    probs = pd.DataFrame(weights / weights.sum(axis=1, keepdims=True), columns=columns)
    answer = pd.Series(np.array(study.labels)[weights.argmax(axis=1)])
    for k in range(n_models):  # a model says what the first one said of another face
        turned = np.roll(np.arange(len(items)), 7919 * k)
        told = {**asked, "run_id": f"run{k:02d}", "label": pd.array([None] * len(items), "str")}
        said = pd.concat([answer.rename("predicted"), probs], axis=1).iloc[turned]
        table = pd.concat([pd.DataFrame(told), said.reset_index(drop=True)], axis=1)
        path = study.table("film_predictions", run=f"run{k:02d}")
        if k == 0:
            schema.write(table, path, name="predictions")
        else:  # of the same columns: checking each takes longer than drawing them
            table.to_parquet(path, index=False, row_group_size=ROWS_READ_AT_ONCE)
    return n_models * len(items)


def films(n: int) -> list[str]:
    """Name made-up films."""
    return [f"film{k:04d}" for k in range(n)]


class Query(NamedTuple):
    """How long an answer from the film tables took, and how large its process grew."""

    query: str
    films: int
    models: int
    rows: int
    seconds: float
    processor_s: float
    peak_mib: float


def shares_of_films(study: Study) -> pd.DataFrame:
    """Say how often each model answers what in each film."""
    frames = schema.read(study.table("frames"), name="frames", columns=["film_id", "frame"])
    tables = sorted(study.table("film_predictions", run="x").parent.iterdir())
    found = film_shares.summarise_tables(frames, tables, labels=study.labels)
    schema.write(found, study.table("film_summary"), name="film_summary")
    return found


def shares_over_films(study: Study) -> pd.DataFrame:
    """Average them over films, with intervals."""
    summary = schema.read(study.table("film_summary"), name="film_summary")
    return film_shares.overall(summary, statistics=study.statistics, seed=study.seed)


def differences_of_models(study: Study) -> pd.DataFrame:
    """Compare each two models over all films."""
    summary = schema.read(study.table("film_summary"), name="film_summary")
    listed = pd.DataFrame({"film_id": summary["film_id"].unique(), "genre": None})
    return selections.differences(summary, listed, statistics=study.statistics, seed=study.seed)


def course_of_one_film(study: Study) -> pd.DataFrame:
    """Lay what one model says of one film on its time."""
    first = films(1)
    table = study.table("film_predictions", run="run00")
    frames = schema.read(study.table("frames"), name="frames", where={"film_id": first})
    said = schema.read(table, name="predictions", where={"group_id": first})
    return timeline(frames, said, labels=study.labels)


QUERIES = {
    "shares of every film by every model": shares_of_films,
    "shares over films, with intervals": shares_over_films,
    "differences between each two models": differences_of_models,
    "the course of one film by one model": course_of_one_film,
}


def ask(name: str, study: Study, *, n_films: int, n_models: int) -> Query:
    """Time a query in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_timed, name, study, n_films, n_models).result()


def _timed(name: str, study: Study, n_films: int, n_models: int) -> Query:
    began, used = time.monotonic(), time.process_time()
    found = QUERIES[name](study)
    return Query(
        query=name,
        films=n_films,
        models=n_models,
        rows=len(found),
        seconds=round(time.monotonic() - began, 1),
        processor_s=round(time.process_time() - used, 1),
        peak_mib=round(peak_mib()),
    )


FILM_S, PIECE_S = 120, 5
LEARNT, PASSES = 32, 2


def rates(folder: Path) -> dict[str, float]:
    """Measure the processor time (ms) of an hour of film, of a face read, of a face learned from.

    The film has 1920 x 800 px; the network is that of the published study, at 224 px, on one
    thread.
    """
    import torch  # these are large, and the other trials measure memory
    from long_film import make_film

    from exe_core import costs, models
    from exe_core.detection import FaceFinder
    from exe_core.footage import decoder, screening
    from exe_core.learning.epochs import Part, Run

    torch.set_num_threads(1)
    film = make_film(folder / "film.mp4", seconds=PIECE_S, repeat=FILM_S // PIECE_S)
    listed = screening.find_films([film]).iloc[0].to_dict()
    settings = Crop(size=224)
    with FaceFinder(min_score=settings.min_score, retry_border=settings.retry_border) as finder:
        took = []
        for every in (
            FILM_S * 24,
            100,
        ):  # its first frame only, which is to begin; then as films are
            began = sum(os.times()[:4])
            screening.screen_film(
                listed, store=folder, finder=finder, settings=settings, step=screening.Step(every)
            )
            decoder.close()  # the time of the process beside counts once it has ended
            took.append(sum(os.times()[:4]) - began)
        of_film = took[1] - took[0]
    recipe = Train(weights="none", size=224)
    network = models.build(recipe.model, weights="none", n_classes=len(schema.FIVE))
    shown = models.Preprocessing(size=224)
    classifier = models.Classifier(network, schema.FIVE, shown, {})
    run = Run(recipe, shown, n_classes=len(schema.FIVE), device="cpu")
    faces = np.random.default_rng(0).integers(0, 256, (LEARNT, 224, 224, 3), dtype=np.uint8)
    part = Part(torch.from_numpy(faces), torch.arange(LEARNT) % len(schema.FIVE))
    began = time.process_time()
    for epoch in range(1, PASSES + 1):
        run._learn(part, epoch=epoch)
    learning = (time.process_time() - began) / (PASSES * LEARNT)
    return {
        "film": 1000 * of_film * 3600 / FILM_S,
        "read": costs.cost(classifier, seconds=2.0).ms_per_face,
        "learn": 1000 * learning,
    }
