"""`exe`: the command line that the Makefile and the Snakefile call."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
import yaml
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from exe_core import stages
from exe_core.record import ROOT, explain_disk_errors, replacing
from exe_core.study import load_study

if TYPE_CHECKING:
    from exe_core.open_data import Finding

StudyName = Annotated[str, typer.Argument(help="the study, configs/<name>.yml")]


def fail(message: str) -> NoReturn:
    """End with one clear message and exit status 1."""
    typer.echo(f"exe: {message}", err=True)
    raise typer.Exit(1)


class Commands(TyperGroup):
    """Commands that end with one message where the package refuses, or a file can't be used."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("stopped; the same command goes on where it was")
        except (ValueError, RuntimeError, OSError) as fault:
            ours = type(fault).__module__.startswith("exe_core.")
            if not ours and not isinstance(fault, OSError):
                raise
            fail(str(fault))


app = typer.Typer(
    cls=Commands,
    help="Expressions Ensemble, re-examined: run the stages of a study.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="The data sets of the paper.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Show a table as wide as the terminal; long texts are folded, none is cut."""
    table = Table(show_lines=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)


@data_app.command("list")
def list_sets() -> None:
    """List the data sets of the paper: what each is for, who has it, and whether it is here."""
    from exe_core.open_data import CACHE, DATA_SETS  # slow to import

    folders = [*map(Path, filter(None, [os.environ.get("EXE_DATA")])), CACHE, ROOT / "data"]
    rows, details = [], []
    for name, one in DATA_SETS.items():
        place = next((place for folder in folders if (place := one.place(folder))), None)
        absent = f"no: exe data get {name}" if one.repository else "no: ask for it"
        rows.append([name, one.purpose, one.size, one.licence, "yes" if place else absent])
        details.append(f"{name}: {one.source}" + (f"\n  here: {place}" if place else ""))
    show_table(["set", "for", "size", "licence", "here"], rows)
    typer.echo("\n".join(details))


@data_app.command("get")
def get_set(
    name: Annotated[str, typer.Argument(help="published, faces, ferplus or clip")],
    to: Annotated[Path | None, typer.Option(help="the data folder; .cache/data if none")] = None,
) -> None:
    """Fetch an open set from its public repository, at a pinned commit, and check it."""
    from exe_core.open_data import CACHE, get_open_set

    folder = (to or CACHE).resolve()
    _show_findings(get_open_set(name, folder))
    typer.echo(f"{name} is in {folder}; studies read it with DATA={folder}")


@data_app.command("check")
def check_set(
    name: Annotated[str, typer.Argument(help="a set that `exe data list` lists")],
    path: Annotated[Path, typer.Argument(help="the file or folder that you were given")],
) -> None:
    """Check whether a set is whole and as published: counts, digests."""
    from exe_core.open_data import find

    one = find(name)
    if not path.exists():
        fail(f"nothing at {path}; {name} comes from {one.source}")
    _show_findings(one.check(path))


def _show_findings(findings: list[Finding]) -> None:
    """Show what was checked; end with status 1 if something is not as published."""
    rows = [
        [*(f"{x:,}" if isinstance(x, int) else x for x in finding), "yes" if finding.good else "NO"]
        for finding in findings
    ]
    show_table(["checked", "published", "here", "the same"], rows)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="fig-recall, of study demo, or real/fig-recall")],
    kind: Annotated[
        Literal["svg", "pdf", "png", "csv", "89mm.svg", "89mm.pdf"] | None,
        typer.Option("--format", help="png has 300 dpi; else by the suffix of --out, or pdf"),
    ] = None,
    out: Annotated[Path, typer.Option(help="a file, or a folder that is there")] = Path(),
) -> None:
    """Copy a figure out of a build, or of the frozen results, and say where it is from."""
    from exe_core.figures import find_bundle  # slow to import

    whose, _, bare = name.rpartition("/")
    bundle = find_bundle(bare, whose or "demo")
    suffix = kind or out.suffix[1:] or "pdf"
    source = bundle.with_name(f"{bare}.{suffix}")
    if not source.exists():
        fail(
            f"{bare} is not there as {suffix}: take a chart as svg, pdf, png or csv, a sheet as png"
        )
    target = out / source.name if out.is_dir() else out
    if not target.parent.is_dir():
        fail(f"there is no folder {target.parent} to write into")
    with replacing(target) as partial:
        partial.write_bytes(source.read_bytes())
    about = json.loads(bundle.read_text(encoding="utf-8"))
    commit = str(about["commit"] or "unknown")[:8]
    typer.echo(f"{target}: {bare} of study {about['study']}, commit {commit}")


@app.command()
def film(
    files: Annotated[list[Path], typer.Argument(help="films, or folders of films")],
    out: Annotated[Path, typer.Option(help="folder for the results")],
    model: Annotated[str, typer.Option(help="a ready model by name, or a model's folder")] = "fer7",
    every: Annotated[int, typer.Option(min=1, help="every n-th frame")] = 100,
    all_faces: Annotated[
        bool, typer.Option("--all-faces", help="read all faces, and follow persons in each shot")
    ] = False,
    smooth: Annotated[
        float | None, typer.Option(min=0.1, help="width of the kernel over time, s")
    ] = None,
) -> None:
    """Read the faces of sampled frames; leave tables, figures and a page for each film.

    Stopped, the same command goes on at the frame that it was at.
    """
    from exe_core.film_report import report_films  # slow to import

    logging.basicConfig(format="%(message)s")
    with explain_disk_errors(out):
        films = report_films(
            files,
            model=model,
            every=every,
            out=out.resolve(),
            all_faces=all_faces,
            smooth_s=smooth,
        )
    shown = films[["film_id", "n_sampled", "n_faces", "status", "error"]].astype(object).fillna("")
    show_table(["film", "frames", "with a face", "status", ""], shown.astype(str).values.tolist())
    typer.echo(f"the films compared, and a page for each: {out / 'index.html'}")
    if n_lost := (films["status"] == "unreadable").sum():
        fail(f"{n_lost} of {len(films)} films could not be read: see {out / 'films.csv'}")


@app.command()
def photo(
    files: Annotated[list[Path], typer.Argument(help="photos, or folders of photos")],
    out: Annotated[Path, typer.Option(help="folder for the results")],
    model: Annotated[str, typer.Option(help="a ready model by name, or its folder")] = "fer7",
) -> None:
    """Read all faces of photos; leave a table, faces.csv, and a page, photos.html."""
    from exe_core.photos import report_photos  # slow to import

    with explain_disk_errors(out):
        faces = report_photos(files, model=model, out=out.resolve())
    counts = faces.drop_duplicates("photo")["status"].value_counts()
    n_faces = (faces["status"] == "ok").sum()
    typer.echo(f"{n_faces} faces; photos: {', '.join(f'{n} {what}' for what, n in counts.items())}")
    typer.echo(f"the table and the page: {out / 'faces.csv'}, {out / 'photos.html'}")
    if "ok" not in counts:
        fail("no photo has a face that could be read")


@app.command()
def build(
    name: StudyName,
    jobs: Annotated[int, typer.Option(min=1, help="cores to use on this machine")] = 2,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="run on a cluster: slurm, or a folder with a config.yaml"),
    ] = None,
) -> None:
    """Compute what is missing or stale of a study, and its book."""
    study = load_study(name)
    if missing := study.missing():
        lines = "\n".join(f"  {what}" for what in missing)
        fail(f"study {name} lacks\n{lines}\ndata/README.md says what each is and who has it")
    if status := stages.build(study, jobs=jobs, profiles=tuple(profile or ())):
        raise typer.Exit(status)
    page = ROOT / stages.book_folder(study) / "_build" / "html" / "index.html"
    typer.echo(f"the book: {page.as_uri()}")


@app.command()
def stage(
    notebook: Annotated[str, typer.Argument(help="its name in notebooks/, e.g. 03-train")],
    study: Annotated[str, typer.Option(help="configs/<study>.yml")],
    out: Annotated[Path | None, typer.Option(help="where the executed notebook goes")] = None,
    writes: Annotated[
        list[Path] | None, typer.Option(help="a file that the stage must leave")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="name=value, as YAML")
    ] = None,
) -> None:
    """Execute a notebook of a study; parameters that depart from the study make a trial.

    A trial writes into a place of its own; the study and its book stay as they are.
    """
    given = {}
    for text in parameter or []:
        name, equals, value = text.partition("=")
        if not equals:
            fail(f"-p {text!r}: write name=value")
        given[name] = yaml.safe_load(value)
    whose, written = load_study(study), tuple(writes or ())
    typer.echo(stages.run_stage(whose, notebook, parameters=given, out=out, writes=written))


@app.command()
def freeze(name: StudyName) -> None:
    """Keep a study's estimates, values and cited figures with the paper, in data/frozen/<study>."""
    typer.echo(f"{stages.freeze(load_study(name))} files of {name} are in data/frozen/{name}")


@app.command()
def assemble(
    name: StudyName,
    notebooks: Annotated[list[Path], typer.Argument(help="executed notebooks")],
) -> None:
    """Make the executed notebooks of a study, and no others, the pages of the book."""
    stages.assemble(load_study(name), tuple(notebooks))


if __name__ == "__main__":
    app()
