"""Which label a found photo gets: the hits are kept, and the label is decided by a stated rule."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from exe_core.readers import DatasetError, read_texts
from exe_core.record import replacing
from exe_core.resampling import Statistics
from exe_core.settings import Set
from exe_core.tables import EMOTIONS

RULES = ("drop", "first", "vote")


def found_by(hits: pd.DataFrame, chosen: Set) -> pd.DataFrame:
    """Give the hits of a set of photos: those of its source and design."""
    return hits[(hits["source"] == chosen.source) & (hits["design"] == chosen.design)]


def decide_labels(hits: pd.DataFrame, rule: str, *, requests: pd.DataFrame) -> pd.DataFrame:
    """Decide which label each photo of a set gets.

    Parameters
    ----------
    hits
        Those of one set, as `found_by` gives them.
    rule
        For a photo that was found under several labels: "drop" leaves it out; "first" takes the
        label of its earliest hit; "vote" the label of most hits, of equally many the one whose
        hits stand higher in their queries (sum of 1 / place), then the first in the order of
        `EMOTIONS`.
    requests
        The table, which says when each page was asked for.

    Returns
    -------
    pandas.DataFrame
        A row a photo: photo_id, label, query (of its earliest hit under this label) and n_labels,
        the number of labels that it was found under.

    Raises
    ------
    ValueError
        If there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"no rule {rule!r} for photos under two labels; there are {RULES}")
    ordered = _in_time(hits, requests)
    by_photo = ordered.groupby("photo_id")
    n_labels = by_photo["label"].nunique()
    if rule == "drop":
        chosen = by_photo["label"].first()[n_labels == 1]
    elif rule == "first":
        chosen = by_photo["label"].first()
    else:
        chosen = _most_voted(ordered)
    kept = ordered[ordered["label"] == ordered["photo_id"].map(chosen)]
    table = kept.drop_duplicates("photo_id")[["photo_id", "label", "query"]]
    table = table.assign(n_labels=table["photo_id"].map(n_labels))
    return table.sort_values("photo_id", ignore_index=True)


def _in_time(hits: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Sort hits by the time of their page and their place on it."""
    page = ["source", "design", "query", "page"]
    asked = requests[requests["error"].isna()].groupby(page)["requested_at"].min()
    timed = hits.merge(asked.rename("asked_at").reset_index(), on=page, how="left")
    timed["code"] = pd.Categorical(timed["label"], categories=EMOTIONS).codes
    return timed.sort_values(
        ["asked_at", "code", "query", "page", "rank", "photo_id"], ignore_index=True
    )


def _most_voted(hits: pd.DataFrame) -> pd.Series:
    """Give the label of most hits of each photo, by photo_id."""
    query = ["source", "design", "query"]
    placed = hits.sort_values([*query, "page", "rank", "photo_id"])
    placed["weight"] = 1 / (placed.groupby(query).cumcount() + 1)
    votes = placed.groupby(["photo_id", "label", "code"])["weight"].agg(["size", "sum"])
    order = ["photo_id", "size", "sum", "code"]
    best = votes.reset_index().sort_values(order, ascending=[True, False, False, True])
    return best.drop_duplicates("photo_id").set_index("photo_id")["label"]


PULLED = ("hits", "photos", "requests")
"""The tables of a pull."""
MAX_REASONS = 8
"""Reasons of failed downloads that are listed one by one; the rest are counted together."""


def with_interval(
    counts: pd.DataFrame, *, of: str, among: str, statistics: Statistics
) -> pd.DataFrame:
    """Add value, low, high and level of the share that column `of` has of column `among`."""
    value = counts[of] / counts[among].where(counts[among] > 0)
    found = statistics.share(value, counts[among])
    return counts.assign(**found.columns(), level=statistics.level)


def yields(
    hits: pd.DataFrame,
    photos: pd.DataFrame,
    images: pd.DataFrame,
    *,
    by: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Count what searches gave, and in how many of their photos a face was found.

    Parameters
    ----------
    hits, photos, images
        Tables of those names.
    by
        Columns of hits: ["source", "label"], ["source", "query"], ["source", "query", "page"].

    Returns
    -------
    pandas.DataFrame
        A row a combination: the columns of `by`, n_hits, n_photos (different ones), n_downloaded,
        n_looked_at (for faces), n_with_face, and value, low, high, level of their share.
    """
    status = images.drop_duplicates("item_id").set_index("item_id")["n_faces"]
    downloaded = photos.loc[photos["status"] == "ok", "photo_id"]
    found = hits.drop_duplicates([*by, "photo_id"])
    faces = found["photo_id"].map(status)
    found = found.assign(
        n_photos=1,
        n_downloaded=found["photo_id"].isin(downloaded).astype(int),
        n_looked_at=found["photo_id"].isin(status.index).astype(int),
        n_with_face=faces.fillna(0).gt(0).astype(int),
    )
    counted = ["n_photos", "n_downloaded", "n_looked_at", "n_with_face"]
    table = found.groupby(list(by), sort=False)[counted].sum()
    table.insert(0, "n_hits", hits.groupby(list(by), sort=False).size())
    return with_interval(
        table.reset_index(), of="n_with_face", among="n_looked_at", statistics=statistics
    )


def novelty(
    requests: pd.DataFrame,
    hits: pd.DataFrame,
    *,
    statistics: Statistics,
    by: Sequence[str] = ("query",),
) -> pd.DataFrame:
    """Count how much of each page was new to its source and design, page by page.

    Parameters
    ----------
    requests, hits
        Tables of those names.
    by
        "query", or "label" to count the pages of all queries of a label together.

    Returns
    -------
    pandas.DataFrame
        source, design, the columns of `by`, page, n_returned, n_new, and value, low, high, level of
        the share that was new, by the first answer of each page.
    """
    page = ["source", "design", "query", "page"]
    answered = requests[requests["error"].isna() & (requests["n_returned"] > 0)]
    # a page that is asked for again holds nothing new: what it first gave is what counts
    first = answered.sort_values("requested_at").drop_duplicates(page)
    labels = hits.drop_duplicates(page[:3])[[*page[:3], "label"]]
    kinds = ["source", "design", *by, "page"]
    table = first.merge(labels, on=page[:3]).groupby(kinds)[["n_returned", "n_new"]]
    return with_interval(
        table.sum().reset_index(), of="n_new", among="n_returned", statistics=statistics
    )


def whereabouts(
    sets: Mapping[str, Set],
    *,
    hits: pd.DataFrame,
    photos: pd.DataFrame,
    requests: pd.DataFrame,
    images: pd.DataFrame,
    faces: pd.DataFrame,
    splits: pd.DataFrame,
) -> pd.DataFrame:
    """Follow the photos of each set from the hits to the faces that are learnt from.

    Parameters
    ----------
    sets
        Name -> settings; those that are of photos are followed.
    hits, photos, requests, images, faces, splits
        Tables of those names.

    Returns
    -------
    pandas.DataFrame
        A row a step: set_name, step ("returned", "downloaded", ..), kind ("left": so many are left;
        "lost": so many were lost at this step; "of which": a part of what is left) and n. What was
        returned less all that was lost is what is used.
    """
    tables = [
        _of_set(
            name,
            found=found_by(hits, chosen),
            photos=photos,
            requests=requests,
            images=images[images["set_name"] == name],
            faces=faces[faces["set_name"] == name].merge(
                splits[["face_id", "split"]], on="face_id", how="left"
            ),
            rule=chosen.two_labels,
        )
        for name, chosen in sets.items()
        if chosen.kind == "photos"
    ]
    columns = ["set_name", "step", "kind", "n"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _of_set(
    name: str,
    *,
    found: pd.DataFrame,
    photos: pd.DataFrame,
    requests: pd.DataFrame,
    images: pd.DataFrame,
    faces: pd.DataFrame,
    rule: str,
) -> pd.DataFrame:
    """Follow one set; `found` are its hits, `images` and `faces` its own."""
    tried = photos[photos["photo_id"].isin(found["photo_id"])]
    is_ok = tried["status"] == "ok"
    decided = decide_labels(
        found[found["photo_id"].isin(tried.loc[is_ok, "photo_id"])], rule, requests=requests
    )
    unused = images.loc[images["status"] != "ok", "status"]
    used = faces[faces["is_primary"]]
    n_found, n_ok = found["photo_id"].nunique(), is_ok.sum()
    steps = [
        ("returned", "left", len(found)),
        ("found again by another query", "lost", len(found) - n_found),
        ("different photos", "left", n_found),
        *failures(tried.loc[~is_ok, "error"]),
        ("not tried yet", "lost", n_found - len(tried)),
        ("downloaded", "left", n_ok),
        ("under two labels", "lost", n_ok - len(decided)),
        ("of a label that the study has not", "lost", len(decided) - len(images)),
        ("looked at for faces", "left", len(images)),
        *((status, "lost", n) for status, n in unused.value_counts().items()),
        ("no crop kept", "lost", len(images) - len(unused) - len(used)),
        ("faces used", "left", len(used)),
        *((side, "of which", (used["split"] == side).sum()) for side in ("train", "val", "test")),
        ("copies of another", "of which", len(used) - used["group_id"].nunique()),
    ]
    table = pd.DataFrame(steps, columns=["step", "kind", "n"])
    table.insert(0, "set_name", name)
    return table[(table["kind"] != "lost") | (table["n"] != 0)].reset_index(drop=True)


def failures(errors: pd.Series) -> list[tuple[str, str, int]]:
    """Count failed downloads by reason: the text up to its particulars, numbers left out.

    Returns
    -------
    list
        As rows of `whereabouts`: step, kind "lost", n.
    """
    reasons = errors.fillna("not said").str.replace(r"[:(].*", "", regex=True)
    reasons = reasons.str.replace(r"\d{4,}", "..", regex=True).str.strip()
    counts = reasons.value_counts()
    rows = [(f"failed: {why}", "lost", int(n)) for why, n in counts.head(MAX_REASONS).items()]
    others = int(counts.iloc[MAX_REASONS:].sum())
    return [*rows, *([("failed: other reasons", "lost", others)] if others else [])]


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


UNCLEAR = "unclear"
"""What a person writes where a face shows none of the emotions, or more than one."""

TO_LABEL = ["face_id", "set_name", "label", "query", "n_faces", "path", "label_true"]


class LabellingError(ValueError):
    """A table that was labelled by hand is not as it must be."""


def faces_of_photos(
    sets: Mapping[str, Set],
    *,
    faces: pd.DataFrame,
    hits: pd.DataFrame,
    requests: pd.DataFrame,
) -> pd.DataFrame:
    """Give the largest face of each photo that is used, with the query that found it.

    Parameters
    ----------
    sets
        Name -> settings; those that are of photos.
    faces, hits, requests
        Tables of those names.

    Returns
    -------
    pandas.DataFrame
        The rows of `faces` with `query`, that of the earliest hit under the label that the photo
        got, and `n_faces`, how many the set has of the query.
    """
    tables = [
        faces[(faces["set_name"] == name) & faces["is_primary"]].merge(
            decide_labels(found_by(hits, chosen), chosen.two_labels, requests=requests)[
                ["photo_id", "query"]
            ],
            left_on="item_id",
            right_on="photo_id",
        )
        for name, chosen in sets.items()
        if chosen.kind == "photos"
    ]
    found = pd.concat(tables, ignore_index=True).drop(columns="photo_id")
    n_faces = found.groupby(["set_name", "query"])["face_id"].transform("size")
    return found.assign(n_faces=n_faces)


def spread(faces: pd.DataFrame, n: int, *, by: Sequence[str], seed: int) -> pd.DataFrame:
    """Draw faces at random, as many of each kind as can be.

    Parameters
    ----------
    faces
        face_id, and the columns of `by`.
    n
        How many; a kind with fewer than its part gives all it has.
    by
        The columns that say what a face's kind is.
    seed
        Of the drawing.

    Returns
    -------
    pandas.DataFrame
        Their rows, ordered by kind and face_id.
    """
    if n < 1:
        raise ValueError(f"{n} faces can't be drawn: ask for 1 or more")
    rng = np.random.default_rng(seed)
    shuffled = faces.sort_values("face_id").iloc[rng.permutation(len(faces))]
    # the first of each kind, then the second of each, and so on
    place = shuffled.groupby(list(by)).cumcount()
    drawn = shuffled.iloc[np.argsort(place, kind="stable")].head(n)
    return drawn.sort_values([*by, "face_id"], ignore_index=True)


def sample_to_label(faces: pd.DataFrame, n: int, *, seed: int, path: Path) -> pd.DataFrame:
    """Write a CSV of faces for a person to label, as many of each set and query as can be.

    Parameters
    ----------
    faces
        As `faces_of_photos` gives them.
    n, seed
        How many, and the seed of the drawing.
    path
        Where the CSV goes.

    Returns
    -------
    pandas.DataFrame
        What was written: face_id, set_name, label, query, n_faces (that the set has of the query),
        path (of the crop, relative to the project's root), and label_true, empty: for one of the
        emotions, or "unclear".
    """
    drawn = spread(faces, n, by=["set_name", "label", "query"], seed=seed)
    table = drawn.assign(label_true=None)[TO_LABEL]
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    return table


def label_by_truth(sample: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Fill `label_true` by the truth of the synthetic world, in the place of a person.

    Parameters
    ----------
    sample
        As `sample_to_label` or `faces_of_photos` gives it.
    truth
        Table "truth"; a photo of which it names no emotion is "unclear".
    """
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    item_id = sample["face_id"].str.split("/").str[1]
    return sample.assign(label_true=item_id.map(shown).fillna(UNCLEAR))


def read_labelled(path: Path) -> pd.DataFrame:
    """Read a CSV whose column `label_true` a person filled.

    Rows that are not filled yet are left out. Empty and upper-case letters do not matter.

    Raises
    ------
    LabellingError
        Naming the line and what is wrong there: a label that is none, a face given twice, a label
        or a number of faces that is none.
    """
    try:
        table = read_texts(path, keep_default_na=False)
    except DatasetError as fault:
        raise LabellingError(str(fault)) from None
    absent = [name for name in TO_LABEL if name not in table]
    if absent:
        raise LabellingError(f"{path.name} has no column {', '.join(absent)}")
    table = table.apply(lambda column: column.str.strip())
    table["label_true"] = table["label_true"].str.lower()
    allowed = (*EMOTIONS, UNCLEAR)
    faults = {
        "label_true": ~table["label_true"].isin(["", *allowed]),
        "label": ~table["label"].isin(EMOTIONS),
        "n_faces": ~table["n_faces"].str.fullmatch("[1-9][0-9]*"),
        "face_id": table["face_id"].duplicated() | (table["face_id"] == ""),
    }
    for column, is_wrong in faults.items():
        for place in np.flatnonzero(is_wrong):
            needed = {"n_faces": "a number", "face_id": "given once"}.get(
                column, ", ".join(allowed)
            )
            raise LabellingError(
                f"{path.name}, line {place + 2}: {column} is {table[column][place]!r}; it must be "
                f"{needed}"
            )
    table["n_faces"] = table["n_faces"].astype(int)
    return table.loc[table["label_true"] != "", TO_LABEL].reset_index(drop=True)


def keyword_noise(labelled: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
    """Estimate how often keywords are wrong, from faces that were labelled by hand.

    Each set and query is a stratum. What is said of several is weighted by how many faces each
    has; its interval is Wilson's with the effective number of labelled faces, 1 / sum(w^2 / n)
    (Kish 1965, Survey Sampling, section 11.7; Dean & Pagano 2015). The sample is small beside the
    whole, and no correction is made for that.

    Parameters
    ----------
    labelled
        As `read_labelled` gives it.

    Returns
    -------
    pandas.DataFrame
        by ("query", "label", "set" or "all"), set_name, label, query (null if over several), n
        (labelled), n_wrong (those that do not show their label), n_unclear (of which unclear), and
        value, low, high, level of the share that is wrong.

    Raises
    ------
    LabellingError
        If no face is labelled.
    """
    if labelled.empty:
        raise LabellingError("no face is labelled yet: fill the column label_true")
    strata = labelled.assign(
        n_wrong=labelled["label_true"] != labelled["label"],
        n_unclear=labelled["label_true"] == UNCLEAR,
    )
    strata = strata.groupby(["set_name", "label", "query"], as_index=False).agg(
        n=("face_id", "size"),
        n_wrong=("n_wrong", "sum"),
        n_unclear=("n_unclear", "sum"),
        n_faces=("n_faces", "first"),
    )
    groups = {
        "query": strata.groupby(["label", "query"]),
        "label": strata.groupby(["label"]),
        "set": strata.groupby(["set_name"]),
        "all": strata.groupby(lambda _: "all"),
    }
    rows = [
        {"by": by, **_estimate(members, statistics), **_shared(members, by)}
        for by, group in groups.items()
        for _, members in group
    ]
    counts = ["n", "n_wrong", "n_unclear", "value", "low", "high", "level"]
    return pd.DataFrame(rows)[["by", "set_name", "label", "query", *counts]]


def _shared(strata: pd.DataFrame, by: str) -> dict[str, str | None]:
    """Name what an estimate is of: null for what it is over."""
    named = {"query": ("label", "query"), "label": ("label",), "set": ("set_name",), "all": ()}[by]
    first = strata.iloc[0]
    return {name: first[name] if name in named else None for name in ("set_name", "label", "query")}


def _estimate(strata: pd.DataFrame, statistics: Statistics) -> dict[str, float]:
    weight = strata["n_faces"] / strata["n_faces"].sum()
    value = float((weight * strata["n_wrong"] / strata["n"]).sum())
    found = statistics.share(value, 1 / (weight**2 / strata["n"]).sum())
    counts = strata[["n", "n_wrong", "n_unclear"]].sum().to_dict()
    return {**counts, **found.columns(), "level": statistics.level}


def with_known(
    noise: pd.DataFrame, *, faces: pd.DataFrame, truth: pd.DataFrame | None
) -> pd.DataFrame:
    """Add to estimates what they estimate, where it is known: the share among all faces.

    Parameters
    ----------
    noise
        As `keyword_noise` gives it.
    faces
        All faces, as `faces_of_photos` gives them.
    truth
        Table "truth"; None where nobody knows it.

    Returns
    -------
    pandas.DataFrame
        `noise` with the column known, null where it is not.
    """
    if truth is None:
        return noise.assign(known=np.nan)
    whole = keyword_noise(label_by_truth(faces, truth), statistics=Statistics()).rename(
        columns={"value": "known"}
    )
    keys = ["by", "set_name", "label", "query"]
    return noise.merge(whole[[*keys, "known"]], on=keys, how="left")


def compare_rules(
    sets: Mapping[str, Set],
    *,
    hits: pd.DataFrame,
    requests: pd.DataFrame,
    statistics: Statistics,
    truth: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare the rules for photos that were found under several labels.

    Parameters
    ----------
    sets
        Name -> settings; those that are of photos.
    hits, requests
        Tables of those names.
    truth
        Table "truth", where there is one; photos of which it names no emotion are not counted.

    Returns
    -------
    pandas.DataFrame
        A row a set and rule, those of all sets together last: set_name, rule, n_photos (found),
        n_two_labels (under several), n_kept, among ("all kept" or "under two labels"), n (kept ones
        whose truth is known), n_right, and value, low, high, level of the share that is right.
    """
    shown = pd.Series(dtype=object)
    if truth is not None:
        shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"].dropna()
    rows = []
    for name, chosen in sets.items():
        if chosen.kind != "photos":
            continue
        found = found_by(hits, chosen)
        several = found.groupby("photo_id")["label"].nunique().gt(1).sum()
        for rule in RULES:
            kept = decide_labels(found, rule, requests=requests)
            known = kept[kept["photo_id"].isin(shown.index)]
            is_right = known["label"] == known["photo_id"].map(shown)
            counts = {"n_photos": found["photo_id"].nunique(), "n_two_labels": several}
            for among, part in (
                ("all kept", slice(None)),
                ("under two labels", known["n_labels"] > 1),
            ):
                right = {
                    "n_kept": len(kept),
                    "n": len(is_right[part]),
                    "n_right": is_right[part].sum(),
                }
                rows.append({"set_name": name, "rule": rule, "among": among, **counts, **right})
    return _with_total(pd.DataFrame(rows), statistics)


def _with_total(rules: pd.DataFrame, statistics: Statistics) -> pd.DataFrame:
    total = rules.groupby(["rule", "among"], as_index=False, sort=False).sum(numeric_only=True)
    both = pd.concat([rules, total.assign(set_name="all sets")], ignore_index=True)
    return with_interval(both, of="n_right", among="n", statistics=statistics)
