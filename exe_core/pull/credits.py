"""Whose photos these are: a credits table, and the page that shows it.

What a photo site says of a photo is somebody else's text: it is shown as text, and only web
addresses become links.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import pandas as pd

MAX_ON_PAGE = 500
"""Photos that a page lists; the table has them all."""

DRAWN = "No photo here was taken: a program drew them all, and nobody is owed a credit."

CREDITS = [
    "photo_id",
    "source",
    "author",
    "author_url",
    "page_url",
    "licence",
    "licence_url",
    "attribution",
    "retrieved_at",
]
_TERMS = ["author", "author_url", "licence", "licence_url", "attribution"]


def credits_of(photos: pd.DataFrame, used: Iterable[str]) -> pd.DataFrame:
    """List whom to credit for the photos that are used or shown.

    Parameters
    ----------
    photos
        The table.
    used
        Their ids.

    Returns
    -------
    pandas.DataFrame
        photo_id, source, author, author_url, page_url, licence, licence_url, attribution and
        retrieved_at, ordered by source, author and photo.
    """
    chosen = photos[photos["photo_id"].isin(set(used))].reindex(columns=CREDITS)
    return chosen.sort_values(["source", "author", "photo_id"], ignore_index=True)


def credits_page(credited: pd.DataFrame, *, rest: str = "") -> str:
    """Make the HTML of a credits page: a part a source, which opens on a click.

    Parameters
    ----------
    credited
        As `credits_of` gives it. Photos of one photographer under one licence share a line.
    rest
        Where the whole table lies, said if there are more than `MAX_ON_PAGE` photos.
    """
    if credited.empty:
        return "<p>No photo is used.</p>"
    listed = credited.head(MAX_ON_PAGE)
    parts = [_part(source, photos, credited) for source, photos in listed.groupby("source")]
    left = len(credited) - len(listed)
    more = f"<p>And {left} more: the whole list is {html.escape(rest)}.</p>" if left else ""
    return f'<div class="credits">{"".join(parts)}{more}</div>'


def _part(source: str, photos: pd.DataFrame, credited: pd.DataFrame) -> str:
    whole = credited[credited["source"] == source]
    title = f"{source}: {len(whole)} photos by {whole['author'].nunique()} photographers"
    terms = photos.astype(object).fillna("").groupby(_TERMS, sort=False)
    lines = "".join(_line(dict(zip(_TERMS, key, strict=True)), group) for key, group in terms)
    return f"<details><summary>{html.escape(title)}</summary><ul>{lines}</ul></details>"


def _line(terms: Mapping[str, str], photos: pd.DataFrame) -> str:
    pages = ", ".join(
        _link(photo_id.partition(":")[2], url)
        for photo_id, url in zip(photos["photo_id"], photos["page_url"], strict=True)
    )
    said = [
        f"{_link(terms['author'] or 'not named', terms['author_url'])}: {pages}",
        _link(terms["licence"] or "licence not known", terms["licence_url"]),
        html.escape(terms["attribution"]),
    ]
    return f"<li>{' · '.join(filter(None, said))}</li>"


def _link(text: str, url: str) -> str:
    """Make a link of a web address; anything else stays text, as its address could be a script."""
    shown = html.escape(text)
    try:
        parts = urlsplit(url)
    except ValueError:
        return shown
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return shown
    return f'<a href="{html.escape(url)}" rel="nofollow noopener noreferrer">{shown}</a>'
