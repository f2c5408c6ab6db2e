"""The figures of the paper: `save` and `sheet` keep each as a bundle under a permanent name.

A bundle is picture files, data, specification and provenance in `results/<study>/figures/`; it is
written whole or not at all, and the book cites it by its name. In a notebook the returned object
shows itself, and so the book finds it there.

Charts stand in `exe_core.figures.films` and `.scores`, one function a chart, and share `.style`. A
chart function takes a table and returns a `style.Chart`, which `save` lays out for a page and for a
column of a journal; it computes nothing.
"""

from __future__ import annotations

import base64
import difflib
import html
import io
import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair
import numpy as np
import pandas as pd
import vl_convert
from PIL import Image, ImageDraw, ImageFont, ImageOps

from exe_core import record
from exe_core.figures.style import NARROW, WIDE, Chart
from exe_core.record import ROOT, replacing
from exe_core.study import Study, load_study, studies

VEGA_LITE = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
PRINT_PPI = 300
PT_PER_PX = 72 / 96
WIDTHS = {"": WIDE, "89mm.": NARROW}
"""What the suffixes of a chart's files begin with -> its width, px."""
SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)"')
NAME = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")
PROVENANCE = ".provenance.json"


class FigureError(ValueError):
    """A figure lacks what every figure must have."""


@dataclass(frozen=True)
class Figure:
    """A saved bundle, which shows itself in a notebook."""

    name: str  # "fig-..."; the files are `<folder>/<name>.<suffix>`
    folder: Path = field(repr=False)  # an executed notebook names no folder of its machine
    alt: str  # the figure in words
    study: str  # whose results it shows

    def path(self, suffix: str) -> Path:
        """Return the file of the bundle with this suffix, e.g. "svg" or "provenance.json"."""
        return self.folder / f"{self.name}.{suffix}"

    def _repr_html_(self) -> str:
        chart = self.path("vl.json").exists()
        kind, suffix = ("image/svg+xml", "svg") if chart else ("image/jpeg", "jpg")
        picture = base64.b64encode(self.path(suffix).read_bytes()).decode()
        shown = f'<img src="data:{kind};base64,{picture}" alt="{html.escape(self.alt)}">'
        of = f'data-name="{self.name}" data-study="{self.study}"'
        return f'<figure class="paper-figure" {of}>{shown}</figure>'


def save(
    chart: Chart,
    name: str,
    *,
    study: Study,
    alt: str,
    inputs: Iterable[Path] | None = None,
) -> Figure:
    """Write a chart as SVG, PDF and Vega-Lite in 183 and 89 mm, PNG (300 dpi), CSV and provenance.

    Parameters
    ----------
    chart
        As a chart function returns it, or `Chart(f)` of a function from px to an Altair chart.
    name
        "fig-" and lower-case words; permanent, since others cite it.
    alt
        What the chart shows, in words.
    inputs
        The files that it was drawn from, whose digests are kept; `study.inputs` if None.

    Raises
    ------
    FigureError
        If the name is not of that form or there is no alt text.
    """
    contents = dict[str, bytes]()
    for start, width in WIDTHS.items():
        spec = {**chart.at(width).to_dict(), "description": alt}
        contents |= {f"{start}{suffix}": drawn(spec, suffix) for suffix in ("svg", "pdf")}
        text = json.dumps(spec, separators=(",", ":"), ensure_ascii=False)
        contents[f"{start}vl.json"] = text.encode()
        if width == WIDE:
            contents |= {"png": drawn(spec, "png"), "csv": _csv(plotted(spec))}
    return _write(name, contents, study=study, alt=alt, inputs=inputs)


def plotted(spec: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that a specification draws, those of all its panels one below the other."""
    tables = [pd.DataFrame(rows) for rows in spec.get("datasets", {}).values()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def drawn(spec: dict[str, Any], suffix: str) -> bytes:
    """Draw a Vega-Lite specification as svg, png (300 dpi) or pdf, all of one size in print.

    A px of the specification is 1/96 inch, so its letters of 11 px are printed in 8.25 pt.
    """
    if suffix == "svg":
        return vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE).encode()
    solid = {**spec, "background": "white"}
    if suffix == "png":
        return vl_convert.vegalite_to_png(
            solid, ppi=PRINT_PPI, scale=PT_PER_PX, vl_version=VEGA_LITE
        )
    svg = vl_convert.vegalite_to_svg(solid, vl_version=VEGA_LITE)

    def in_pt(size: re.Match[str]) -> str:
        width, height = (float(number) * PT_PER_PX for number in size.groups())
        return f'width="{width:g}" height="{height:g}"'

    return vl_convert.svg_to_pdf(SIZE.sub(in_pt, svg, count=1))  # of a PDF, the unit is pt


def sheet(
    images: Sequence[np.ndarray],
    name: str,
    *,
    columns: int,
    captions: Sequence[str],
    study: Study,
    alt: str,
    data: pd.DataFrame,
) -> Figure:
    """Write pictures as one contact sheet: JPEG for the page, PNG, CSV and provenance.

    Parameters
    ----------
    images
        Each (H, W, 3) uint8 RGB; smaller ones are scaled up to the largest.
    name, study, alt
        As in `save`.
    columns
        Pictures in a row.
    captions
        A short line under each picture; "" for none.
    data
        What is shown, a row a picture.
    """
    picture = _arranged(images, columns=min(columns, len(images)), captions=captions)
    for_page, files = picture.copy(), {"jpg": io.BytesIO(), "png": io.BytesIO()}
    for_page.thumbnail((2 * WIDE, picture.height))  # as much as a sharp screen can show
    for_page.save(files["jpg"], format="JPEG", quality=88)
    picture.save(files["png"], format="PNG", optimize=True, dpi=(PRINT_PPI, PRINT_PPI))
    contents = {suffix: stream.getvalue() for suffix, stream in files.items()}
    return _write(name, {**contents, "csv": _csv(data)}, study=study, alt=alt)


def _write(
    name: str,
    contents: Mapping[str, bytes],
    *,
    study: Study,
    alt: str,
    inputs: Iterable[Path] | None = None,
) -> Figure:
    """Put the provenance last: it lists the other files, so where it lies the bundle is whole."""
    if not NAME.fullmatch(name):
        raise FigureError(f"{name!r} is no name of a figure: fig- and lower-case words, fig-recall")
    if not alt.strip():
        raise FigureError(f"{name} has no alt text: say in words what it shows")
    figure = Figure(name=name, folder=study.results / "figures", alt=alt, study=study.name)
    for suffix, content in contents.items():
        with replacing(figure.path(suffix)) as partial:
            partial.write_bytes(content)
    about = {
        "figure": name,
        "alt": alt,
        "files": [*contents, "provenance.json"],
        **record.provenance(study, inputs=study.inputs if inputs is None else inputs),
        "drawn_with": {part: version(part) for part in ("altair", "vl-convert-python")},
    }
    record.write_json(about, figure.path("provenance.json"))
    return figure


def _csv(data: pd.DataFrame) -> bytes:
    return data.to_csv(index=False, lineterminator="\n").encode()


def _arranged(
    images: Sequence[np.ndarray], *, columns: int, captions: Sequence[str]
) -> Image.Image:
    """Put pictures in rows, each with its caption in letters of about 11 px on a page."""
    gap = 6
    height, width = np.max([image.shape[:2] for image in images], axis=0).tolist()
    size = max(11, 11 * columns * width // WIDE)
    texts = [textwrap.wrap(caption, max(1, int(width / size * 1.9))) for caption in captions]
    below = max(len(lines) for lines in texts) * (size + 3)
    rows = math.ceil(len(images) / columns)
    extent = (columns * (width + gap) - gap, rows * (height + below + gap) - gap)
    page = Image.new("RGB", extent, "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=size)
    for k, (image, lines) in enumerate(zip(images, texts, strict=True)):
        x, y = (k % columns) * (width + gap), (k // columns) * (height + below + gap)
        fitted = ImageOps.contain(Image.fromarray(image), (width, height))
        page.paste(fitted, (x, y))
        place = (x + 1, y + fitted.height + 1)
        pen.multiline_text(place, "\n".join(lines), fill="#1F2328", font=font, spacing=2)
    return page


def find_bundle(name: str, study: str) -> Path:
    """Return the provenance of a figure, in the last build of a study or, if none, as frozen.

    Raises
    ------
    FigureError
        If there is none, with the names that are near.
    """
    folders = [load_study(study).results] if study in studies() else []
    known = {
        path.name.removesuffix(PROVENANCE): path
        for folder in [ROOT / "data" / "frozen" / study, *folders]
        for path in sorted((folder / "figures").glob(f"*{PROVENANCE}"))
    }
    if not known:
        raise FigureError(f"no figures of a study {study!r} yet: make book STUDY={study} first")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
        raise FigureError(f"study {study} has no figure {name!r}; it has {', '.join(near)}")
    return known[name]
