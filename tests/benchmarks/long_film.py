"""A film for the benchmarks of decoding: wide, moving, grainy, with faces, as x264 makes it."""

import av
import numpy as np
from sample_scenes import enlarged, scene

WIDTH, HEIGHT, RATE = 1920, 800, 24
BORDER, GRAIN = 160, 3


def shot(rng, *, with_person):
    """Draw a still picture wider than the film, in which its camera moves."""
    size = HEIGHT + 2 * BORDER, WIDTH + 2 * BORDER
    share = rng.uniform(0.15, 0.2) if with_person else None
    return enlarged(rng, scene(rng, size, share=share).picture, times=1)


def pictures(seconds):
    """Draw the film: shots with slow pans, two in three with a person, under film grain."""
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, GRAIN, (HEIGHT, WIDTH, 1)).astype(np.int16) for _ in range(7)]
    grain = [np.repeat(one, 3, axis=2) for one in noise]
    left, turn = round(seconds * RATE), 0
    stills = [shot(rng, with_person=k % 3 != 2) for k in range(12)]
    while left > 0:
        still, n = stills[turn % len(stills)], min(left, round(rng.uniform(2, 9) * RATE))
        start, speed = rng.uniform(60, 2 * BORDER - 60, 2), rng.uniform(-0.6, 0.6, 2)
        for k in range(n):
            y, x = np.clip(start + speed * k, 0, 2 * BORDER).astype(int)
            picture = still[y : y + HEIGHT, x : x + WIDTH] + grain[int(rng.integers(7))]
            yield picture.clip(0, 255).astype(np.uint8)
        left, turn = left - n, turn + 1


def make_film(path, *, seconds):
    """Encode it by x264 as by default: GOPs of 250 at most, scene cuts, B-frames; crf 22."""
    with av.open(str(path), "w") as film:
        options = {"preset": "medium", "crf": "22"}
        stream = film.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures(seconds):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    return path
