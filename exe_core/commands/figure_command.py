"""`exe figure`: one figure of the paper, made anew for a column of a journal or a slide."""

from __future__ import annotations

import difflib
import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exe_core.commands.terminal import fail
from exe_core.config import ROOT, load_study, studies
from exe_core.writing import replacing

FROZEN = ROOT / "data" / "frozen"
MM = {"mm": 1.0, "cm": 10.0, "in": 25.4, "pt": 25.4 / 72, "px": 25.4 / 96}
LEAST_MM, MOST_MM = 30, 500


class Format(StrEnum):
    """What a figure can be had as."""

    svg = "svg"
    pdf = "pdf"
    png = "png"
    csv = "csv"


def figure(
    name: Annotated[str, typer.Argument(help="its permanent name: fig-recall, real/fig-recall")],
    kind: Annotated[Format, typer.Option("--format", help="png has 300 dpi")] = Format.pdf,
    width: Annotated[
        str | None, typer.Option(help="such as 89mm, 12cm, 3.5in; as in the book if not given")
    ] = None,
    study: Annotated[str, typer.Option(help="whose figure it is")] = "demo",
    out: Annotated[Path | None, typer.Option(help="a file or folder; here if not given")] = None,
) -> None:
    """Make a figure anew from its specification and data, for another width or as another file.

    Its text keeps its size in print; panels shrink, or fewer stand in a row.
    """
    whose, _, bare = name.rpartition("/")
    bundle = _find(bare, whose or study)
    wanted = None if width is None else _in_mm(width)
    suffix = kind.value
    if suffix == "csv":
        if wanted is not None:
            fail("a CSV has no width: leave out --width")
        content = bundle.with_name(f"{bare}.csv").read_bytes()
    elif (spec := bundle.with_name(f"{bare}.vl.json")).exists():
        content = _chart(spec, suffix, wanted)
    else:
        content = _sheet(bundle.with_name(f"{bare}.png"), suffix, wanted)
    target = _target(out, f"{bare}{f'-{width}' if width else ''}.{suffix}".replace(" ", ""))
    with replacing(target) as partial:
        partial.write_bytes(content)
    about = json.loads(bundle.read_text(encoding="utf-8"))
    commit = str(about["commit"] or "unknown")[:8]
    typer.echo(f"{target}: {bare} of study {about['study']}, commit {commit}")


def _folders() -> dict[str, list[Path]]:
    """Give the folders with figures, by the name that they are cited by."""
    found = {name: [load_study(name).results / "figures"] for name in studies()}
    for folder in sorted(FROZEN.glob("*/figures")):
        found.setdefault(folder.parent.name, []).append(folder)
    return found


def _find(name: str, study: str) -> Path:
    """Find the provenance of a figure, which is written last: the bundle is whole."""
    folders = _folders()
    if study not in folders:
        fail(f"no study {study!r}; there is {', '.join(folders)}")
    names = {
        path.name.partition(".")[0]: (path, whose)
        for whose in [*(other for other in folders if other != study), study]
        for folder in reversed(folders[whose])
        for path in sorted(folder.glob("*.provenance.json"))
    }
    path, whose = names.get(name, (None, ""))
    if path is not None and whose == study:
        return path
    if path is not None:
        fail(f"{name} is not a figure of study {study}, but of {whose}: say --study {whose}")
    own = [known for known, (_, whose) in names.items() if whose == study]
    if not own:
        fail(f"study {study} has no figures yet: make book STUDY={study} first")
    near = difflib.get_close_matches(name, own, n=3, cutoff=0.5)
    fail(f"study {study} has no figure {name!r}; it has {', '.join(near or sorted(own))}")


def _in_mm(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(mm|cm|in|pt|px)", text.strip())
    if not found:
        fail(f"--width {text!r}: write a number and {', '.join(MM)}, such as 89mm")
    width = float(found[1]) * MM[found[2]]
    if not LEAST_MM <= width <= MOST_MM:
        fail(f"--width {text}: a figure is {LEAST_MM} to {MOST_MM} mm wide")
    return width


def _chart(path: Path, suffix: str, width: float | None) -> bytes:
    from exe_core.figures.bundle import drawn  # slow to import

    return drawn(json.loads(path.read_text(encoding="utf-8")), suffix)


def _sheet(path: Path, suffix: str, width: float | None) -> bytes:
    """Give a sheet of pictures, smaller where it is asked for."""
    from exe_core.figures.bundle import FigureError, smaller_sheet

    name = path.stem
    if suffix != "png":
        fail(f"{name} is a sheet of pictures, not a chart: it can be had as png or csv")
    try:
        return smaller_sheet(path, width)
    except FigureError as fault:
        fail(f"{name}: {fault}")


def _target(out: Path | None, name: str) -> Path:
    target = out / name if out is not None and out.is_dir() else out or Path(name)
    if not target.parent.is_dir():
        fail(f"there is no folder {target.parent} to write into")
    return target
