"""Synthetic worlds that are made in a second or two."""

from exe_core.study import parse_study


def tiny_study(*, labels=("angry", "happy", "sad"), seed=42, pull=None, **world):
    """A study of the world with small pictures and few of them; `world` changes its settings."""
    settings = {
        "photos_per_query": {"v1": 8, "v2": 4},
        "photo_size": (160, 120),
        "film_size": (160, 90),
        "film_seconds": 20,
        "n_films": 4,
        "benchmark_faces": 4,
        "benchmark_test_faces": 2,
    }
    return parse_study(
        {
            "name": "tiny",
            "kind": "world",
            "title": "A tiny world",
            "labels": labels,
            "seed": seed,
            "world": settings | world,
            "pull": {"designs": ("v1",)} | (pull or {}),
            "sets": {"pexels-v1": {"kind": "photos", "source": "pexels", "design": "v1"}},
            "runs": {"pexels-v1": {"sets": ["pexels-v1"]}},
        }
    )
