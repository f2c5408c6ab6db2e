"""The lines that the book gives readers for their films, photos and models run as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from film_samples import write_film
from PIL import Image
from sample_scenes import scene

from exe_core import inference, models
from exe_core.faces import detector_model
from exe_core.photos import read_faces
from exe_core.record import ROOT

OF_PHOTOS = {"no face": 2, "ok": 4, "unreadable": 1}
PAGE = (ROOT / "book" / "your-data.md").read_text()


def blocks(language, text=PAGE):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos in a folder an emotion, one without a face and one that is none; two films."""
    folder = tmp_path_factory.mktemp("mine")
    rng = np.random.default_rng(7)
    for label, share in (("happy", 0.3), ("sad", 0.3), ("fear", None)):
        (folder / "photos" / label).mkdir(parents=True)
        for k in range(2):
            picture = Image.fromarray(scene(rng, (480, 640), share=share).picture)
            picture.save(folder / "photos" / label / f"{k}.jpg")
    (folder / "photos" / "sad" / "broken.jpg").write_text("no photo")
    (folder / "films").mkdir()
    for name in ("a", "b"):
        pictures = [scene(rng, (240, 320), share=0.3).picture for _ in range(3)]
        write_film(folder / "films" / f"{name}.mp4", pictures, hold=25, rate=25)
    return folder


def exe(words, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "EXE_DATA": str(folder)}
    environment |= {"EXE_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "exe_core.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for block in blocks("bash") for line in block.splitlines()])
def test_the_commands_of_the_page_run(folder, line):
    program, *words = shlex.split(line)
    assert program == "exe"
    done = exe(words, folder)
    assert done.returncode == 0, done.stderr
    out = folder / words[words.index("--out") + 1]
    if words[0] == "film":
        films = pd.read_csv(out / "films.csv")
        assert films["status"].tolist() == ["ok", "ok"]
        assert (films["n_faces"] > 0).all()
        assert (out / "index.html").is_file()
        return
    faces = pd.read_csv(out / "faces.csv")
    assert faces.groupby("status")["photo"].nunique().to_dict() == OF_PHOTOS
    assert "1 unreadable" in done.stdout
    page = (out / "photos.html").read_text()
    assert "broken.jpg:\nunreadable, not an image" in page
    assert page.count("<img") == (faces["status"] == "ok").sum()


def test_the_python_of_the_page_and_of_the_readme_runs(folder):
    left = {"folder": folder}
    for code in blocks("python"):
        exec(compile(code, "book/your-data.md", "exec"), left)
    table = left["table"]
    assert table["photo"].nunique() == 7
    found = table[table["status"] == "ok"]
    assert found.filter(like="prob_").sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert models.load(folder / "mine").preprocessing.size == 224
    for code in blocks("python", (ROOT / "README.md").read_text()):
        exec(compile(code, "README.md", "exec"), {"photos": [folder / "photos/happy/0.jpg"]})


def test_photos_are_read_alike_in_every_form_and_order_of_channels(folder):
    path = folder / "photos" / "happy" / "0.jpg"
    image = Image.open(path)
    pixels = np.asarray(image)
    forms = [path, str(path), image, pixels]
    table = read_faces(forms)
    answers = table.filter(regex="prob_|_px|score").astype(float)
    for _, rows in table.groupby("photo"):
        assert np.allclose(answers.loc[rows.index], answers.loc[table["photo"] == 0])
    for alone in (path, pixels):
        assert read_faces(alone)["photo"].tolist() == table[table["photo"] == 0]["photo"].tolist()
    turned = read_faces([pixels[..., ::-1]], channels="BGR")
    assert np.allclose(turned.filter(like="prob_"), table[table["photo"] == 0].filter(like="prob_"))
    deep = Image.fromarray(257 * np.asarray(image.convert("L")).astype(np.uint16))
    eight, sixteen = (read_faces([one]).filter(like="prob_") for one in (image.convert("L"), deep))
    assert np.allclose(eight, sixteen), "16 bits are scaled to 8, as in a file"
    assert "too small" in read_faces([pixels[:0]])["error"][0]
    for wrong, how in (([None], {}), ([pixels / 255], {}), ([pixels], {"channels": "GBR"})):
        with pytest.raises((TypeError, ValueError), match=r"is no image|RGB or BGR"):
            read_faces(wrong, **how)
    with pytest.warns(UserWarning, match="read_faces"):  # a scene is given as a crop
        inference.predict_images(models.load("fer7"), [path])


@pytest.mark.slow
def test_the_example_study_judges_a_ready_model_on_photos_and_reads_films(folder):
    films = ("06-films", "06-films-shares", "06-films-unlabelled")
    for stage in ("02-crop", "04-predict", "05-benchmarks", *films):
        run = ["-p", "run=fer7"] if stage == "04-predict" else []
        done = exe(["stage", stage, "--study", "example", *run], folder)
        assert done.returncode == 0, done.stderr
    results = folder / "home" / "results" / "example"
    scores = pd.read_parquet(results / "metrics.parquet")
    assert scores["n"].unique().tolist() == [4]
    assert scores["run_id"].unique().tolist() == ["fer7"]
    summary = pd.read_parquet(results / "film_summary.parquet")
    assert summary["film_id"].unique().tolist() == ["a", "b"]
    images = pd.read_parquet(folder / "home" / "processed" / "example" / "images.parquet")
    assert images["status"].value_counts().to_dict() == OF_PHOTOS


def test_films_and_photos_need_nothing_of_the_extras_and_nothing_slow():
    """What only studies and the book need may be absent; the last line would slow the start."""
    absent = [
        *("snakemake", "papermill", "nbclient", "nbformat", "ipykernel", "jupyter_book"),
        *("httpx", "timm", "pytorch_optimizer", "captum", "cleanlab"),
        *("scipy.stats", "scipy.optimize", "sklearn", "torchvision"),
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent}));" + (
        "from exe_core import cli, faces, film_report, photos; faces.FaceFinder(); "
        "import matplotlib.pyplot as plt; plt.figure; "
        "film_report.trust(*film_report.load_model('fer7'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.slow
def test_the_wheel_reads_films_and_photos_where_there_is_no_checkout(folder, tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    for part in ("exe_core", "exe_world", "data/models", "data/frozen/film", "data/open"):
        shutil.copytree(ROOT / part, source / part)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*wheel, "--wheel-dir", tmp_path, source], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(site)
    (site / ".cache").mkdir()
    shutil.copy(detector_model(), site / ".cache")  # as pip would fetch it
    environment = os.environ | {"PYTHONPATH": str(site)}
    for what, out in (("photo", "p"), ("film", "f")):
        words = [what, str(folder / f"{what}s"), "--out", out]
        command = [sys.executable, "-P", "-m", "exe_core.cli", *words]
        subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert "How far to trust fer7" in (tmp_path / "f" / "index.html").read_text()
    assert "labelled faces of" in (tmp_path / "p" / "photos.html").read_text()
