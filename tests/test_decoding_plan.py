"""Plans of decoding: enough for every wanted frame, no more, and none where headers do not tell."""

import av
import numpy as np
import pytest
from film_samples import KINDS, make_film
from hypothesis import given
from hypothesis import strategies as st

from exe_core import video
from exe_core.video import opened

KIND = {kind.name: kind for kind in KINDS}


def index_of(path):
    with opened(path) as (container, stream):
        return video.read_index(container, stream)


def flags(n):
    return st.lists(st.booleans(), min_size=n, max_size=n)


@st.composite
def indices(draw):
    """Packets of groups; in open ones, pictures after the start are shown before it."""
    pts, starts, spared, shown = [], [], [], []
    for group in range(draw(st.integers(1, 5))):
        length = draw(st.integers(1, 8))
        leading = draw(st.integers(0, length - 1)) if group else 0
        order = draw(st.permutations(range(length - 1)))
        times = [leading, *(t + (t >= leading) for t in order)]
        # pictures that follow the start in decoding and precede it in time come right after it
        tail = sorted(times[1:], key=lambda t: t > leading)
        pts += [100 * group + t for t in [leading, *tail]]
        starts += [True] + [False] * (length - 1)
        spared += [False, *draw(flags(length - 1))]
        shown += draw(flags(length))
    shown[0] = True
    return video.Index(np.array(pts), np.array(shown), np.array(starts), np.array(spared, bool))


@given(indices(), st.data())
def test_a_plan_feeds_what_the_wanted_frames_need_and_nothing_else(index, data):
    n = len(index.order)
    frames = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    plan = video.plan_decoding(index, frames)
    targets, needed = index.order[frames], set()
    for target in targets:
        earlier = np.flatnonzero(index.starts[: target + 1])
        start = earlier[index.pts[earlier] <= index.pts[target]][-1]
        needed |= {k for k in range(start, target) if not index.spared[k]} | {target}
    assert set(np.flatnonzero(plan.feed)) == needed


@given(indices(), st.data())
def test_the_decoder_starts_anew_at_starts_only_and_is_emptied_at_the_end(index, data):
    n = len(index.order)
    frames = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    plan = video.plan_decoding(index, frames)
    fed, flushed = np.flatnonzero(plan.feed), np.flatnonzero(plan.flush)
    assert flushed[-1] == fed[-1]
    after = [fed[fed > place][0] for place in flushed[:-1]]
    assert index.starts[after].all()
    assert index.starts[fed[0]]


def test_every_frame_wanted_is_every_packet_fed():
    index = video.Index(
        np.array([0, 3, 1, 2, 4, 5]),
        np.ones(6, bool),
        np.array([1, 0, 0, 0, 1, 0], bool),
        np.array([0, 0, 1, 1, 0, 0], bool),
    )
    assert index.order.tolist() == [0, 2, 3, 1, 4, 5]
    assert video.plan_decoding(index, np.arange(6)).feed.all()


@pytest.mark.parametrize(
    ("name", "starts", "some_are_spared"),
    [
        ("h264 closed GOP.mp4", [0, 24, 48], True),
        ("h264 open GOP.mp4", [0], True),
        ("h264 intra refresh.mp4", [0], False),
        ("mpeg-4.mkv", [0, 25, 50], False),
        ("vp9.webm", [0, 30], False),
        ("prores.mov", list(range(60)), True),
    ],
)
def test_starts_are_read_from_the_pictures_not_from_the_container(
    tmp_path, name, starts, some_are_spared
):
    index = index_of(make_film(tmp_path / name, KIND[name], n=60))
    assert np.flatnonzero(index.starts).tolist() == starts
    assert index.spared.any() == some_are_spared
    assert index.fault is None


@pytest.mark.slow
def test_only_the_highest_layer_is_spared(tmp_path):
    """In three temporal layers of one B-frame each, that is every other picture at most."""
    path = make_film(tmp_path / "film.mkv", KIND["hevc layers.mkv"], n=60)
    assert 0.2 < index_of(path).spared.mean() <= 0.5


def test_pictures_hidden_by_an_edit_list_are_no_frames(tmp_path):
    index = index_of(make_film(tmp_path / "film.mp4", KIND["h264 edit list.mp4"], n=60))
    assert len(index.pts) == 60
    assert len(index.order) == 53
    assert (np.diff(index.pts[index.order]) > 0).all()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("h264 stream.ts", "container mpegts"),
        ("mpeg-2.mkv", "mpeg2video"),
        ("vp8.webm", "vp8"),
    ],
)
def test_no_plan_where_the_headers_do_not_tell(tmp_path, name, reason):
    path = make_film(tmp_path / name, KIND[name], n=30)
    with pytest.raises(video.NoPlanError, match=reason):
        index_of(path)


def test_a_picture_whose_parts_do_not_add_up_is_a_fault(tmp_path):
    path = make_film(tmp_path / "film.mp4", KIND["h264 closed GOP.mp4"], n=60)
    with av.open(str(path)) as film:
        packet = [packet for packet in film.demux(video=0) if packet.size][30]
        place, size = packet.pos, packet.size
    content = bytearray(path.read_bytes())
    content[place : place + size] = bytes(size)
    path.write_bytes(content)
    assert index_of(path).fault == "packet 30 is damaged"


@given(indices(), st.integers(1, 4))
def test_decoders_get_whole_stretches_and_about_as_much_each(index, n):
    plan = video.plan_decoding(index, np.arange(0, len(index.order), 2))
    whose = plan.dealt(n)
    shares = [plan.only(whose == k) for k in range(1 + whose.max())]
    assert len(shares) == min(n, plan.flush.sum())
    assert np.array_equal(sum(share.feed.astype(int) for share in shares), plan.feed)
    assert all(len(set(whose[plan.stretch == k])) == 1 for k in np.unique(plan.stretch))
    sizes = [share.feed.sum() for share in shares]
    assert max(sizes) - min(sizes) <= np.bincount(plan.stretch, plan.feed).max()
    assert all(share.flush.any() for share in shares)
