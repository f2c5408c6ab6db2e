"""Photos to faces with emotions: one function, and `exe photo` with its page.

Every photo and every face is a row; what gives no answer says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core import inference, models, screening
from exe_core.faces import FaceFinder, ImageError, Picture, as_rgb, crop
from exe_core.labels import prob_columns
from exe_core.models import Classifier
from exe_core.record import replacing
from exe_core.settings import Crop

MOST_FACES = 500  # on a page


def read_faces(
    photos: Iterable[Picture],
    *,
    model: str | Path | Classifier = "fer7",
    channels: Literal["RGB", "BGR"] = "RGB",
    crops: Path | None = None,
) -> pd.DataFrame:
    """Find the faces of whole photos, and predict what each shows.

    Parameters
    ----------
    photos
        Paths, PIL images, or arrays (H, W, 3) uint8.
    model
        A ready model by name, a model's folder, or a loaded one.
    channels
        The order in arrays: OpenCV reads BGR.
    crops
        A folder that each face is kept in, as `<photo>_<face>.jpg`.

    Returns
    -------
    pd.DataFrame
        A row a face, the largest of a photo first, and one for each photo without: photo (its
        place, from 0), name, face, status ("ok", "no face" or "unreadable"), error, score and box
        in px of the upright photo, predicted, prob_<label>.

    A ModelError, TypeError or ValueError says that there is no such model, that something is no
    image, or that `channels` is another order.

    Examples
    --------
    >>> read_faces([np.zeros((100, 150, 3), np.uint8)])["status"].tolist()
    ['no face']
    """
    if channels not in ("RGB", "BGR"):
        raise ValueError(f"channels {channels!r}: RGB or BGR")
    if isinstance(photos, str | Path | Image.Image):
        photos = [photos]  # type: ignore[list-item]
    elif isinstance(photos, np.ndarray) and photos.ndim == 3:
        photos = photos[None]
    loaded = model if isinstance(model, Classifier) else models.load(model)
    how, rows = Crop(size=max(128, loaded.preprocessing.size)), []
    with FaceFinder(min_score=how.min_score, small="if no other") as finder:
        for place, photo in enumerate(photos):
            row: dict[str, Any] = {"photo": place, "face": 0, "status": "unreadable"}
            row["name"] = screening.readable(photo) if isinstance(photo, str | Path) else None
            try:
                pixels = as_rgb(photo)
            except ImageError as fault:
                rows.append(row | {"error": str(fault)})
                continue
            if channels == "BGR" and isinstance(photo, np.ndarray):
                pixels = pixels[..., ::-1]
            found = finder.find(pixels)
            if not found:
                rows.append(row | {"status": "no face"})
                continue
            cuts = [crop(pixels, face, size=how.size, margin=how.margin) for face in found]
            answers = inference.predict_images(loaded, cuts).to_dict("records")
            for k, (face, answer) in enumerate(zip(found, answers, strict=True)):
                box: dict[str, Any] = {"x_px": face.x, "y_px": face.y, "width_px": face.width}
                box |= {"height_px": face.height, "score": face.score}
                rows.append(row | {"face": k, "status": "ok"} | box | answer)
                if crops is not None:
                    Image.fromarray(cuts[k]).save(crops / f"{place}_{k}.jpg")
    columns = ["photo", "name", "face", "status", "error", "score", "x_px", "y_px", "width_px"]
    columns += ["height_px", "predicted", *prob_columns(loaded.labels)]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({name: "Int64" for name in columns if name.endswith("_px")})


def report_photos(places: Sequence[Path], *, model: str, out: Path) -> pd.DataFrame:
    """Read photos, or all files below folders; leave faces.csv and a page, photos.html.

    Returns the table of `read_faces`. Raises ImageError if there is no file, ModelError if there is
    no such model.
    """
    from exe_core.film_report import load_model, picture, render, trust  # slow to import

    paths = [path for place in places for path in screening.members(place)]
    paths = [path for path in paths if out not in path.resolve().parents]
    if not paths:
        raise ImageError(f"no photo in {', '.join(map(str, places))}")
    (run, loaded), crops = load_model(model), out / "faces"
    crops.mkdir(parents=True, exist_ok=True)
    faces = read_faces(tqdm(paths, "photos", disable=None), model=loaded, crops=crops)
    with replacing(out / "faces.csv") as partial:
        faces.to_csv(partial, index=False)
    found = faces[faces["status"] == "ok"]
    page = render(
        "photos_page.html",
        title=f"{len(paths)} photos",
        trust=trust(run, loaded),
        n_faces=len(found),
        n_with=found["photo"].nunique(),
        lost=faces.loc[faces["status"] != "ok", ["name", "status", "error"]]
        .fillna("")
        .to_dict("records"),
        faces=[
            picture(
                crops / f"{row.photo}_{row.face}.jpg", f"{Path(row.name).name}: {row.predicted}"
            )
            for row in found.head(MOST_FACES).itertuples()
        ],
    )
    with replacing(out / "photos.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return faces
