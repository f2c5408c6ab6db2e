"""`exe film` beside `fer` and the published loop: one film, every 100th frame, whole commands.

    python tests/benchmarks/beside_fer.py CLIP FER_PYTHON data/frozen/speed/beside_fer.csv

CLIP is face_noface.mov of `exe data get clip`, enlarged to 1920 x 1080 and repeated to ten minutes.
FER_PYTHON is the Python of an environment with `fer`, which writes no pictures here. One run
each, start and imports included; `load` is of the machine. FFmpeg must be on the path.
"""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from exe_core import __version__

SECONDS = 600
FER = """
import sys
from fer.classes import Video
from fer.fer import FER
off = dict.fromkeys(["save_frames", "save_video", "annotate_frames", "zip_images"], False)
video = Video(sys.argv[1])
found = video.analyze(FER(mtcnn=sys.argv[2] == "True"), frequency=100, **off)
print(len(found), sum(name.startswith("box") for row in found for name in row))
"""
PUBLISHED = """
import sys
from pathlib import Path
from exe_core import models
from exe_core.faces import FaceFinder
from test_bench_films import published
with FaceFinder() as finder:
    found = published(Path(sys.argv[1]), [models.load("fer7")], finder)
print(len(found), len(found))
"""
EXE = """
import sys
import pandas as pd
from exe_core.cli import app
app(["film", sys.argv[1], "--out", sys.argv[2], *sys.argv[3:]], standalone_mode=False)
faces = pd.read_csv(f"{sys.argv[2]}/film/faces.csv")
print(faces["frame"].nunique(), len(faces))
"""


def ten_minutes(clip, folder):
    """Enlarge a clip once, and repeat its packets."""
    piece, film, parts = (folder / name for name in ("piece.mp4", "film.mp4", "parts.txt"))
    quiet = ["ffmpeg", "-loglevel", "error", "-y"]
    shape = ["-vf", "scale=1920:1080", "-r", "30", "-an", "-pix_fmt", "yuv420p"]
    subprocess.run([*quiet, "-i", clip, *shape, "-c:v", "libx264", "-crf", "22", piece], check=True)
    parts.write_text(f"file {piece}\n" * 110)
    joined = ["-f", "concat", "-safe", "0", "-i", parts, "-c", "copy", "-t", str(SECONDS), film]
    subprocess.run([*quiet, *joined], check=True)
    return film


def measured(command, folder):
    """Run a command; give its seconds, of all processors and by the clock, and what it prints."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    here, ours = Path(__file__).resolve().parent, command[0] == sys.executable
    path = f"{here.parents[1]}:{here.parent}:{here}" if ours else ""
    how = {"cwd": folder, "env": os.environ | {"PYTHONPATH": path}}  # fer leaves a data.csv there
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **how)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = {"cpu_s": sum(after[:2]) - sum(before[:2]), "wall_s": wall_s}
    return seconds, [int(n) for n in done.stdout.split()[-2:]]


def main(clip, fer_python, target):
    """Measure all ways in turn, and write the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = ten_minutes(clip, folder)
        version = "import importlib.metadata as m; print('fer', m.version('fer'))"
        fer = subprocess.run([fer_python, "-c", version], capture_output=True, text=True).stdout
        exe = f"exe film {__version__}"
        ways = {
            exe: [sys.executable, "-c", EXE, film, "OUT"],
            f"{exe} --all-faces": [sys.executable, "-c", EXE, film, "OUT", "--all-faces"],
            "published loop, one network": [sys.executable, "-c", PUBLISHED, film],
            f"{fer.strip()}, Haar": [fer_python, "-c", FER, film, "False"],
            f"{fer.strip()}, MTCNN": [fer_python, "-c", FER, film, "True"],
        }
        for what, command in ways.items():
            out = folder / f"{len(rows)}"
            seconds, (frames, faces) = measured([out if x == "OUT" else x for x in command], folder)
            found = {"frames_with_a_face": frames, "faces": faces}
            rows.append({"what": what, **seconds, "load": os.getloadavg()[0], **found})
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    pd.DataFrame(rows).round(1).assign(machine=machine).to_csv(target, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
