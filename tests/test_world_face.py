"""The faces of the synthetic world: same seed, same bytes; what is asked for is what is seen."""

import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core.tables import EMOTIONS
from exe_world.backgrounds import KINDS, sample_background
from exe_world.face import (
    AUS,
    EXPRESSIONS,
    HAIR_STYLES,
    blend,
    sample_expression,
    sample_identity,
    sample_pose,
)
from exe_world.render import (
    STYLES,
    camera,
    draw_body,
    draw_head,
    draw_person,
    render_face,
    sample_light,
)

FRONT = {"centre": (80.0, 74.0), "px_per_unit": 40.0, "pose": (0.0, 0.0, 0.0)}
PROBE = (
    "import numpy as np, sys; from exe_world.render import render_face;"
    "sys.stdout.buffer.write(b''.join(render_face(np.random.default_rng(5), 'fear', size=64,"
    " style=style).tobytes() for style in ('lab', 'selfie', 'stock', 'film')))"
)


def rng(seed=0):
    return np.random.default_rng(seed)


def canvas(level=0.25, side=160):
    return np.full((side, side, 3), level, np.float32)


def person(seed=3, **changes):
    plain = {"glasses": "none", "beard": 0.0, "hair_style": "short", "fringe": False}
    return dataclasses.replace(sample_identity(rng(seed), skin_tone=2), **plain | changes)


def drawn(expression, *, identity=None, light=None, **placed):
    picture = canvas()
    light = light or sample_light(rng(1), style="lab")
    box = draw_person(picture, identity or person(), expression, light=light, **FRONT | placed)
    return picture, box


def prototype(emotion, intensity=1.0):
    return {unit: value * intensity for unit, value in EXPRESSIONS[emotion].items()}


class TestExpressions:
    def test_every_emotion_of_the_study_has_a_prototype_of_known_units(self):
        assert set(EXPRESSIONS) == set(EMOTIONS)
        assert all(set(units) <= set(AUS) for units in EXPRESSIONS.values())
        assert EXPRESSIONS["neutral"] == {}

    @pytest.mark.parametrize("emotion", EMOTIONS)
    def test_shows_its_own_units_most(self, emotion):
        mean = {
            unit: np.mean(
                [sample_expression(rng(k), emotion, intensity=1)[unit] for k in range(40)]
            )
            for unit in AUS
        }
        own = {mean[unit] for unit, value in EXPRESSIONS[emotion].items() if value >= 0.5}
        idle = {mean[unit] for unit in AUS if unit not in EXPRESSIONS[emotion]}
        assert min(own, default=1) > 0.35 > max(idle)

    @given(st.sampled_from(EMOTIONS), st.floats(0, 1.2), st.integers(0, 2**32 - 1))
    def test_activations_stay_in_range(self, emotion, intensity, seed):
        drawn_units = sample_expression(rng(seed), emotion, intensity=intensity)
        assert tuple(drawn_units) == AUS
        assert all(0 <= value <= 1.25 for value in drawn_units.values())

    def test_intensity_scales_the_activation(self):
        mild, strong = (sample_expression(rng(4), "sad", intensity=i) for i in (0.3, 0.9))
        assert strong["AU15"] > 2 * mild["AU15"]

    def test_blend_runs_from_one_to_the_other(self):
        happy, sad = prototype("happy"), prototype("sad")
        assert blend(happy, sad, 0)["AU12"] == 1
        assert blend(happy, sad, 1)["AU12"] == 0
        assert blend(happy, sad, 0.25) == pytest.approx(
            {u: 0.75 * happy.get(u, 0) + 0.25 * sad.get(u, 0) for u in AUS}
        )

    @pytest.mark.parametrize(
        ("emotion", "intensity", "message"),
        [("bored", 1, "'bored'; choose one of"), ("happy", -0.1, "must be 0 or more")],
    )
    def test_refuses_what_it_cannot_show(self, emotion, intensity, message):
        with pytest.raises(ValueError, match=message):
            sample_expression(rng(), emotion, intensity=intensity)

    def test_a_pose_of_scale_0_looks_ahead(self):
        assert sample_pose(rng(), scale=0) == (0, 0, 0)
        assert np.std([sample_pose(rng(k), scale=1) for k in range(200)], axis=0) == pytest.approx(
            [0.28, 0.13, 0.11], rel=0.15
        )


class TestIdentity:
    def test_is_the_seed_s(self):
        assert sample_identity(rng(8)) == sample_identity(rng(8)) != sample_identity(rng(9))

    def test_people_differ_in_every_trait(self):
        people = [dataclasses.asdict(sample_identity(rng(k))) for k in range(80)]
        assert all(len({one[trait] for one in people}) > 1 for trait in people[0])
        assert {one["hair_style"] for one in people} == set(HAIR_STYLES)

    @pytest.mark.parametrize("tone", [-0.1, 6.1, float("nan")])
    def test_refuses_a_tone_off_the_scale(self, tone):
        with pytest.raises(ValueError, match="outside 0"):
            sample_identity(rng(), skin_tone=tone)

    def test_a_given_tone_changes_nothing_else_at_random(self):
        light, dark = (sample_identity(rng(2), skin_tone=tone) for tone in (0, 0.5))
        assert light.seed == dark.seed
        assert light.femininity == dark.femininity


class TestPicture:
    def test_is_the_same_in_another_process(self):
        here = b"".join(
            render_face(rng(5), "fear", size=64, style=style).tobytes() for style in STYLES
        )
        there = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True)
        assert hashlib.sha256(there.stdout).digest() == hashlib.sha256(here).digest()

    @pytest.mark.parametrize("style", STYLES)
    def test_has_the_size_asked_for_and_is_gray_in_the_lab_only(self, style):
        image = render_face(rng(1), "happy", size=50, style=style)
        assert image.shape == (50, 50, 3)
        assert image.dtype == np.uint8
        assert (np.ptp(image, axis=2).max() == 0) == (style == "lab")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"style": "oil"}, "'oil'; choose one of lab, selfie, stock, film"),
            ({"emotion": "bored"}, "'bored'; choose one of"),
            ({"size": 8}, "size 8 px is too small"),
            ({"intensity": -1}, "must be 0 or more"),
        ],
    )
    def test_refuses_what_it_cannot_take(self, changes, message):
        asked = {"emotion": "happy", "size": 48, "style": "lab"} | changes
        with pytest.raises(ValueError, match=message):
            render_face(rng(), asked.pop("emotion"), **asked)

    def test_is_darker_the_darker_the_skin(self):
        levels = []
        for tone in range(7):
            picture, _ = drawn({}, identity=person(skin_tone=float(tone)))
            levels.append(camera(rng(), picture, style="film")[84:92, 62:70].mean())
        assert np.diff(levels).max() < -8
        assert levels[0] < 235  # the palest keeps its relief
        assert levels[-1] > 35

    @pytest.mark.parametrize("hair_style", HAIR_STYLES)
    def test_every_hair_style_covers_the_skull_and_leaves_the_face(self, hair_style):
        plain, _ = drawn({}, identity=person(hair_style="bald"))
        haired, box = drawn({}, identity=person(hair_style=hair_style, hair_colour=(0.0, 0.3, 0.0)))
        greener = (haired[..., 1] - haired[..., 0]) > 0.05
        x, y, width, height = box
        assert greener[:, : x + width].any()
        assert (
            greener[y + height // 4 : y + height, x + width // 4 : x + 3 * width // 4].mean() < 0.02
        )
        assert np.isfinite(haired).all()
        assert np.abs(haired - plain)[y + height // 2, 80].max() < 0.1

    def test_what_stays_off_the_head_is_left_alone(self):
        picture, _ = drawn({})
        assert (picture[:20] == 0.25).all()
        assert (picture[:90, :20] == 0.25).all()

    def test_body_then_head_is_the_person(self):
        whole, box = drawn(prototype("angry"))
        parts, light = canvas(), sample_light(rng(1), style="lab")
        place = {name: FRONT[name] for name in ("centre", "px_per_unit")}
        draw_body(parts, person(), light=light, **place)
        assert draw_head(parts, person(), prototype("angry"), light=light, **FRONT) == box
        assert (parts == whole).all()

    def test_inputs_but_the_canvas_are_left_alone(self):
        expression = prototype("happy")
        drawn(expression)
        assert expression == prototype("happy")
        background = canvas()
        camera(rng(), background, style="film")
        assert (background == 0.25).all()


class TestWhatIsSeen:
    """The features that carry an emotion move as its action units say."""

    @pytest.mark.parametrize("emotion", [name for name in EMOTIONS if name != "neutral"])
    def test_the_face_changes_more_the_stronger_the_expression(self, emotion):
        rest, _ = drawn({})
        change = [
            np.abs(drawn(prototype(emotion, intensity))[0] - rest).mean()
            for intensity in (0.25, 0.5, 1.0)
        ]
        assert change[0] > 0
        assert change[0] < change[1] < change[2]

    def test_no_two_emotions_look_alike(self):
        pictures = [drawn(prototype(emotion))[0] for emotion in EMOTIONS]
        for k, one in enumerate(pictures):
            assert all(np.abs(one - other).mean() > 0.0015 for other in pictures[:k])

    def test_a_smile_shows_teeth_and_a_dropped_jaw_the_mouth_s_dark(self):
        mouth = np.s_[96:112, 74:87]
        rest, smile, gape = (
            drawn(prototype(e))[0][mouth] for e in ("neutral", "happy", "surprise")
        )
        assert smile.max(axis=(0, 1))[2] > rest.max(axis=(0, 1))[2] * 1.3
        assert gape.min() < rest.min() * 0.5

    def test_eyes_open_wide_in_fear_and_shut_in_a_blink(self):
        def uncovered(expression):
            open_eyes, shut = (drawn(expression, blink=blink)[0] for blink in (0.0, 1.0))
            return (np.abs(open_eyes - shut).max(axis=2) > 0.05).sum()

        rest, fear = uncovered({}), uncovered(prototype("fear"))
        assert rest > 30
        assert fear > 1.2 * rest

    def test_gaze_moves_the_pupils(self):
        left, right = (drawn({}, gaze=(side, 0.0))[0][70:78] for side in (-0.8, 0.8))
        dark_left, dark_right = (
            np.average(np.arange(160), weights=(part.mean(axis=2) < 0.05).sum(axis=0))
            for part in (left, right)
        )
        assert dark_left < dark_right

    def test_light_from_the_left_brightens_the_left(self):
        light = dataclasses.replace(sample_light(rng(1), style="lab"), direction=(-0.8, 0.0, 0.6))
        picture, (x, y, width, height) = drawn({}, light=light)
        cheeks = picture[y + height // 2 : y + 2 * height // 3].mean(axis=(0, 2))
        assert cheeks[x + width // 8] > 1.5 * cheeks[x + 7 * width // 8]


class TestBox:
    @settings(max_examples=15, deadline=None)
    @given(
        st.floats(50, 110),
        st.floats(50, 110),
        st.floats(25, 60),
        st.floats(-0.8, 0.8),
        st.integers(0, 99),
    )
    def test_lies_around_the_eyes_to_chin(self, cx, cy, scale, yaw, seed):
        _, box = drawn(
            {}, identity=person(seed), centre=(cx, cy), px_per_unit=scale, pose=(yaw, 0.0, 0.0)
        )
        x, y, width, height = box
        assert x <= cx <= x + width
        assert y <= cy <= y + height
        assert 0 <= x < x + width <= 160
        assert 0 <= y < y + height <= 160
        assert width < 1.9 * scale
        assert height < 1.7 * scale

    def test_grows_with_the_scale(self):
        (_, _, small, _), (_, _, large, _) = (
            drawn({}, px_per_unit=scale)[1] for scale in (25.0, 50.0)
        )
        assert large == pytest.approx(2 * small, abs=3)
        assert large == pytest.approx(1.38 * 50, rel=0.15)

    def test_is_clipped_at_the_border(self):
        _, (x, y, width, height) = drawn({}, centre=(0.0, 0.0))
        assert (x, y) == (0, 0)
        assert width < 35
        assert height < 45

    @pytest.mark.parametrize(
        "centre", [(-200.0, 80.0), (400.0, 80.0), (80.0, -300.0), (80.0, 500.0)]
    )
    def test_is_none_where_no_face_is_seen(self, centre):
        picture, box = drawn({}, centre=centre)
        assert box is None
        assert np.isfinite(picture).all()

    @pytest.mark.parametrize("yaw", [-2.4, 3.1])
    def test_is_none_from_behind(self, yaw):
        _, box = drawn({}, identity=person(hair_style="long"), pose=(yaw, 0.0, 0.0))
        assert box is None or box[2] < 25


class TestErrors:
    def test_a_canvas_must_be_linear_float_colour(self):
        for wrong in (np.zeros((64, 64, 3)), np.zeros((64, 64), np.float32)):
            with pytest.raises(ValueError, match="must be float32"):
                draw_person(wrong, person(), {}, light=sample_light(rng(), style="lab"), **FRONT)
            with pytest.raises(ValueError, match="must be float32"):
                camera(rng(), wrong, style="lab")

    def test_an_unknown_action_unit_is_named(self):
        with pytest.raises(ValueError, match="AU99"):
            drawn({"AU99": 1.0})

    @pytest.mark.parametrize("use", [sample_light, camera])
    def test_an_unknown_style_is_named(self, use):
        given_canvas = () if use is sample_light else (canvas(),)
        with pytest.raises(ValueError, match="'oil'; choose one of"):
            use(rng(), *given_canvas, style="oil")


class TestBackground:
    @pytest.mark.parametrize("kind", KINDS)
    def test_fills_the_size_with_finite_light(self, kind):
        one, again = (sample_background(rng(6), (37, 91), kind=kind) for _ in range(2))
        assert one.shape == (37, 91, 3)
        assert one.dtype == np.float32
        assert one.flags["C_CONTIGUOUS"]
        assert one.min() > 0
        assert one.max() <= 1.2
        assert (one == again).all()

    def test_kinds_are_drawn_where_none_is_given(self):
        assert len({sample_background(rng(k), (8, 8)).tobytes() for k in range(6)}) == 6

    def test_refuses_an_unknown_kind(self):
        with pytest.raises(ValueError, match="'beach'; choose one of wall"):
            sample_background(rng(), (8, 8), kind="beach")
