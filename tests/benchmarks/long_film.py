"""A film for the benchmarks of decoding: wide, moving, grainy, with faces, as x264 makes it."""

from __future__ import annotations

import av
import cv2
import numpy as np

from exe_world.backgrounds import KINDS, sample_background
from exe_world.camera import camera, sample_light
from exe_world.face import sample_expression, sample_identity, sample_pose
from exe_world.render import Person, draw_person

WIDTH, HEIGHT, RATE = 1920, 800, 24
BORDER = 160
GRAIN = 3


def shot(rng, *, with_person):
    """Draw a still picture wider than the film, in which its camera moves."""
    size = (HEIGHT + 2 * BORDER, WIDTH + 2 * BORDER)
    kind = str(rng.choice([kind for kind in KINDS if kind != "shelf"]))
    canvas = sample_background(rng, size, kind=kind)
    texture = cv2.resize(rng.normal(0, 1, (270, 480)).astype(np.float32), size[::-1])
    canvas *= np.exp(0.25 * texture)[..., None]
    if with_person:
        person = Person(
            sample_identity(rng),
            sample_expression(rng, str(rng.choice(["happy", "sad", "surprise"])), intensity=0.9),
            centre=(size[1] / 2 + rng.uniform(-300, 300), size[0] / 2 - 60),
            px_per_unit=rng.uniform(230, 300),
            pose=sample_pose(rng, scale=0.5),
        )
        draw_person(canvas, person, sample_light(rng, style="film"))
    return camera(rng, canvas.clip(0, 1.2), style="film")


def pictures(seconds, *, seed=0, shot_s=(2, 9)):
    """Draw the film: shots with slow pans, two in three with a person, under film grain."""
    rng = np.random.default_rng(seed)
    grain = [
        np.repeat(rng.normal(0, GRAIN, (HEIGHT, WIDTH, 1)).astype(np.int16), 3, axis=2)
        for _ in range(7)
    ]
    left = round(seconds * RATE)
    stills = [shot(rng, with_person=k % 3 != 2) for k in range(12)]
    turn = 0
    while left > 0:
        still, n = stills[turn % len(stills)], min(left, round(rng.uniform(*shot_s) * RATE))
        start, speed = rng.uniform(60, 2 * BORDER - 60, 2), rng.uniform(-0.6, 0.6, 2)
        for k in range(n):
            y, x = np.clip(start + speed * k, 0, 2 * BORDER).astype(int)
            picture = still[y : y + HEIGHT, x : x + WIDTH] + grain[int(rng.integers(7))]
            yield picture.clip(0, 255).astype(np.uint8)
        left, turn = left - n, turn + 1


def make_film(path, *, seconds, repeat=1, seed=0):
    """Encode it by x264 as by default: GOPs of 250 at most, scene cuts, B-frames; crf 22."""
    once = path.with_suffix(".once.mp4")
    options = {"preset": "medium", "crf": "22"}
    with av.open(str(once), "w") as film:
        stream = film.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures(seconds, seed=seed):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    repeated(once, path, times=repeat)
    once.unlink()
    return path


def repeated(film, path, *, times):
    """Write the packets of a film again and again, so that it is longer and was encoded once."""
    partial = path.with_suffix(".part")
    with av.open(str(film)) as piece, av.open(str(partial), "w", format="mp4") as longer:
        stream = longer.add_stream_from_template(piece.streams.video[0])
        length = piece.streams.video[0].duration
        for turn in range(times):
            piece.seek(0)
            for packet in piece.demux(video=0):
                if packet.size:
                    packet.pts, packet.dts = (t + turn * length for t in (packet.pts, packet.dts))
                    packet.stream = stream
                    longer.mux(packet)
    return partial.replace(path)
