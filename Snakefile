"""The study as stages, one rule a notebook: pull -> crop -> train -> predict -> benchmarks, films -> claims.
Beside them, in each study's build, the analyses of study film, from its frozen predictions, and of study published.

exe build demo                    (or: snakemake --cores 2 --config study=demo all)
exe build demo --profile slurm    (or: snakemake --profile configs/profiles/slurm --config study=demo all)

What is unchanged is not run again. A stage is stale if its notebook, the code that it calls, a
setting that this code reads, or the ledger of a stage before it changed. A ledger holds the digests
of the tables that a stage wrote. The tables themselves are no outputs of a rule, because Snakemake
deletes outputs before it runs a rule again, and a stopped stage resumes from what it has.
"""

from pathlib import Path
from shlex import quote

from snakemake.logging import logger

from exe_core.staleness import stage_digest
from exe_core.stages import FILM_ANALYSES, book_folder
from exe_core.study import load_study

# said at every step; the option that hides them hides errors, too
logger.addFilter(lambda record: not record.getMessage().startswith(("Select jobs to", "Execute ")))

study = load_study(config.get("study", "demo"))
film, published = load_study("film"), load_study("published")
RUNS, GUESTS = list(study.runs), list(study.guests)
PULLS, HAS_FILMS, HAS_CLAIMS, HAS_SENTIMENT, HAS_AUDIT, CONFIRMS = (
    part in study.traits for part in ("photos", "films", "claims", "sentiment", "audit", "confirmation")
)
EXECUTED = study.results / "notebooks"
LEDGERS = study.results / "ledgers"
BOOK = book_folder(study)
IN_DATA = [study.data_dir / entry.path for entry in study.sets.values() if entry.path] if study.kind == "real" else []


wildcard_constraints:
    run="|".join([*RUNS, *GUESTS]),


def stale(notebook):
    """Digest the notebook, the code that it calls and the settings that it reads; see exe_core.staleness."""
    return lambda wildcards: stage_digest(study, notebook, run=dict(wildcards).get("run"))


def writes(*paths):
    """Name the files that a stage must leave; their digests become the ledger of its page."""
    return " ".join(f"--writes {quote(str(path))}" for path in paths)


def made(page, of=study):
    """Give the outputs of every stage: its page, and the ledger of what it wrote."""
    return {"page": of.results / "notebooks" / f"{page}.ipynb", "ledger": ledger_of(page, of)}


def ledger_of(page, of=study):
    """Name the ledger of a page: "03-train-exe" -> .../ledgers/train-exe.json."""
    return of.results / "ledgers" / f"{page[3:]}.json"


def of(notebook, *paths):
    """Give the parameters of a stage: its notebook, what makes it stale, what it must leave."""
    return {"notebook": notebook, "stale": stale(notebook), "writes": writes(*paths)}


def is_source(path):
    """Tell files of the book from what is made of them."""
    return path.is_file() and not {"executed", "__pycache__"} & set(path.parts)


def film_predictions():
    """List what the analyses of film faces read: predictions made on this machine, or the frozen ones."""
    frozen = {path.name: path for path in sorted(Path("data/frozen/film").glob("*.parquet"))}
    ledger = ledger_of("11-film-predictions", film)
    if study.name != "film" and not ledger.exists():
        return [*frozen.values()] if {*OF_RUNS} <= {*frozen} else []
    return [ledger, *(path for name, path in frozen.items() if name not in OF_RUNS)]


def film_pages():
    """List the pages about film faces, which are the same in the book of every study."""
    names = ["11-film-predictions"] if study.name == "film" else []
    return [*names, *(FILM_ANALYSES if FILM_PREDICTIONS else [])]


def pages():
    """List the executed notebooks that the study's book shows, in the order of the paper."""
    names = ["00-world"] if study.kind == "world" else []
    names += ["01-pull"] if PULLS else []
    names += ["02-crop"] if study.sets else []
    names += [*(["02-curate"] if PULLS else []), *(["02-audit"] if HAS_AUDIT else []), *(f"03-train-{run}" for run in RUNS), *(f"04-predict-{run}" for run in [*RUNS, *GUESTS])]
    names += ["05-benchmarks"] if study.sets else []
    names += ["06-films", "06-films-shares", "06-films-unlabelled"] if HAS_FILMS else []
    names += ["07-claims"] if HAS_CLAIMS else []
    names += ["08-sentiment"] if HAS_SENTIMENT else []
    names += ["10-your-model"] if HAS_FILMS and study.kind == "world" else []
    names += ["16-confirm"] if CONFIRMS else []
    films = [made(name, film)["page"] for name in film_pages()]
    return [*(made(name)["page"] for name in names), made("07-published", published)["page"], *films]


OF_RUNS = ("faces.parquet", "predictions.parquet", "runs.parquet")
FILM_PREDICTIONS = film_predictions()
STAGE = (
    "OMP_NUM_THREADS={threads} exe stage {params.notebook} --study {study.name} --out {output.page:q} {params.writes}"
)


localrules:
    all,
    book,


if PULLS and study.kind == "real":

    localrules:
        pull,  # nodes of a cluster seldom reach the web


rule all:
    input:
        BOOK / "_build" / "html" / "index.html",
        # named, so that one which was lost is made again though nothing asks for it
        pages(),
        [page.parents[1] / "ledgers" / f"{page.stem[3:]}.json" for page in pages()],


if study.kind == "world":

    rule world:
        message: "world: benchmark sets and films"
        output: **made("00-world")
        params:
            **of(
                "00-world",
                study.raw / "benchmarks",
                *([study.raw / "films.parquet", study.table("events")] if HAS_FILMS else []),
            ),
        shell: STAGE


if PULLS:

    rule pull:
        message: "pull: photos by keyword"
        output: **made("01-pull")
        params: **of("01-pull", study.table("hits"), study.table("photos"))
        shell: STAGE


rule crop:
    message: "crop: find faces, split by group"
    input:
        "data/frozen/detection/recall.csv",
        [LEDGERS / "pull.json"] if PULLS else [],
        [LEDGERS / "world.json"] if study.kind == "world" else IN_DATA,
    output: **made("02-crop")
    params: **of("02-crop", study.table("images"), study.table("faces"), study.table("splits"))
    threads: 2
    shell: STAGE


if PULLS:

    rule curate:
        message: "curate: what became of the photos, and how wrong their keywords are"
        input:
            LEDGERS / "pull.json",
            LEDGERS / "crop.json",
            [study.labelled] if study.labelled.exists() else [],
        output: **made("02-curate")
        params: **of("02-curate", study.results / "to_label.csv", study.results / "credits.csv")
        shell: STAGE


if HAS_AUDIT:

    rule audit:
        message: "audit: copies across splits, labels in doubt"
        input:
            [LEDGERS / "pull.json"] if PULLS else [],
            [LEDGERS / "world.json"] if study.kind == "world" else IN_DATA,
        output: **made("02-audit")
        params: **of("02-audit", study.table("leakage"), study.table("leakage_counts"))
        shell: STAGE


rule train:
    message: "train: {wildcards.run}"
    input: LEDGERS / "crop.json"
    output: **made("03-train-{run}")
    params:
        notebook="03-train",
        stale=stale("03-train"),
        writes=lambda wildcards: writes(
            study.model(wildcards.run) / "model.safetensors",
            study.model(wildcards.run) / "card.json",
            study.table("history", run=wildcards.run),
        ),
    threads: lambda wildcards: max(1, workflow.cores // len(RUNS))  # a cluster's profile says how many
    shell: STAGE + " -p run={wildcards.run}"


rule predict:
    message: "predict: {wildcards.run}"
    input:
        LEDGERS / "crop.json",
        lambda wildcards: study.model(wildcards.run) / "card.json" if wildcards.run in GUESTS else LEDGERS / f"train-{wildcards.run}.json",
    output: **made("04-predict-{run}")
    params:
        notebook="04-predict",
        stale=stale("04-predict"),
        writes=lambda wildcards: writes(study.table("predictions", run=wildcards.run)),
    shell: STAGE + " -p run={wildcards.run}"


rule benchmarks:
    message: "benchmarks: scores with intervals"
    input: [LEDGERS / f"predict-{run}.json" for run in [*RUNS, *GUESTS]]
    output: **made("05-benchmarks")
    params: **of("05-benchmarks", *map(study.table, ("metrics", "comparisons", "confusion")))
    shell: STAGE


if HAS_FILMS:

    rule films:
        message: "films: faces, predictions, accuracy"
        input:
            [LEDGERS / "world.json"] if study.kind == "world" else [study.data_dir / study.films.path],
            [LEDGERS / f"train-{run}.json" for run in RUNS],
        output: **made("06-films")
        params:
            **of(
                "06-films",
                *map(study.table, ("films", "frames", "film_faces", "film_summary", "film_metrics")),
                *(study.table("film_predictions", run=run) for run in RUNS),
            ),
        threads: 2
        shell: STAGE


    rule films_shares:
        message: "films: shares of emotions, and the explorer"
        input: LEDGERS / "films.json"
        output: **made("06-films-shares")
        params:
            **of(
                "06-films-shares",
                *map(study.table, ("selection_shares", "selection_differences")),
                study.results / "explorer",
            ),
        shell: STAGE


    rule films_unlabelled:
        message: "films: criteria without labels, agreement of runs"
        input: LEDGERS / "films.json"
        output: **made("06-films-unlabelled")
        params: **of("06-films-unlabelled", *map(study.table, ("film_criteria", "agreement")))
        shell: STAGE


if HAS_CLAIMS:

    rule claims:
        message: "claims: questions put to a test"
        input: [LEDGERS / f"{name}.json" for name in ("benchmarks", "films", "films-unlabelled")]
        output: **made("07-claims")
        params: **of("07-claims", study.table("claims"))
        shell: STAGE


if HAS_SENTIMENT:

    rule sentiment:
        message: "sentiment: seven classes, five levels, three"
        input: [LEDGERS / f"{stage}-{run}.json" for stage in ("train", "predict") for run in RUNS]
        output: **made("08-sentiment")
        params: **of("08-sentiment", *(study.table(f"sentiment_{part}") for part in ("metrics", "comparisons")))
        threads: 2
        shell: STAGE


if HAS_FILMS and study.kind == "world":

    rule your_model:
        message: "your model: on these films"
        input: LEDGERS / "films.json"
        output: **made("10-your-model")
        params: **of("10-your-model", study.results / "values" / "your-model.json")
        shell: STAGE


if study.name == "film":

    rule film_predictions:
        message: "film predictions: faces in other formats, the ceiling"
        input: [LEDGERS / f"predict-{run}.json" for run in RUNS], LEDGERS / "benchmarks.json"
        output: **made("11-film-predictions")
        params: **of("11-film-predictions", *(film.results / "film" / name for name in OF_RUNS))
        threads: 2
        shell: STAGE


if CONFIRMS:

    rule confirm:
        message: "confirm: the primary contrast on these film faces"
        input: [LEDGERS / f"predict-{run}.json" for run in GUESTS], FILM_PREDICTIONS
        output: **made("16-confirm")
        params: **of("16-confirm", study.results / "confirmation.csv")
        shell: STAGE


if FILM_PREDICTIONS:

    for page in FILM_ANALYSES:

        rule:
            name: page[3:].replace("-", "_")
            message: page[3:].replace("-", " ")
            input: FILM_PREDICTIONS
            output: **made(page, film)
            params:
                notebook=page,
                stale=stage_digest(film, page),
                writes=writes(film.results / "values" / f"{page[3:]}.json", *[film.results / "explorer"] * (page == "14-film-shares")),
            shell: STAGE.replace("{study.name}", "film")


rule published:
    message: "published: the eight claims, and the explorer"
    input: sorted(Path("data/published").iterdir()), "data/claims.yml", "data/frozen/real/metrics.parquet"
    output: **made("07-published", published)
    params:
        notebook="07-published",
        stale=stage_digest(published, "07-published"),
        writes=writes(*(published.results / name for name in ("claims.csv", "specifications.csv", "explorer"))),
    shell: STAGE.replace("{study.name}", "published")


rule book:
    message: "book: Jupyter Book, warnings are errors"
    input:
        pages(),
        ["_config.yml", "_toc.yml"],
        [path for folder in ("book", "data/frozen", "exe_core", "exe_world") for path in Path(folder).rglob("*") if is_source(path)],
    output:
        BOOK / "_build" / "html" / "index.html",
    log:
        "_build/book.log",
    params:
        study=study.name,
        pages=[str(page) for page in pages()],
        to=str(BOOK),
    shell:
        "exe assemble {params.study} {params.pages:q} && "
        "{{ EXE_STUDY={params.study} jupyter-book build . --path-output {params.to:q} --warningiserror --keep-going --quiet "
        "> {log} 2>&1 || {{ cat {log}; false; }}; }} && touch {output:q}"
