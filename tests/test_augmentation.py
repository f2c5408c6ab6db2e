"""Each face of a batch changes on its own, within its limits, and only as the seed says."""

import pytest
import torch

from exe_core.augmentation import PRESETS, Augmentation, augment


def faces(n=8, *, size=24, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_draws_for_each_face_as_the_seed_says_and_keeps_its_input(name):
    given = faces(1).expand(8, -1, -1, -1)
    before = given.clone()
    one, again, other = (augment(given, PRESETS[name], generator=seeded(s)) for s in (1, 1, 2))
    assert one.shape == given.shape
    assert 0 <= one.min() <= one.max() <= 1
    assert torch.equal(given, before)
    assert torch.equal(one, again)
    assert torch.equal(one, other) == (name == "none")
    assert (len(one.flatten(1).unique(dim=0)) == 1) == (name == "none")


def test_flip_mirrors_about_its_share_of_the_faces():
    given = faces(400, size=4)
    found = augment(given, Augmentation(flip=0.5), generator=seeded())
    mirrored = (found - given.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    same = (found - given).abs().amax((1, 2, 3)) < 1e-5
    assert (mirrored ^ same).all()
    assert 0.4 < mirrored.float().mean() < 0.6


def test_a_face_turns_and_moves_no_further_than_the_limits():
    line = torch.zeros(200, 3, 65, 65)
    line[..., 32] = 1  # a vertical line through the middle
    found = augment(line, Augmentation(rotation_deg=10), generator=seeded())[:, 0]
    top = found[:, 4].argmax(dim=1) - 32  # 28 px above the middle
    angles = torch.rad2deg(torch.atan2(top.float(), torch.tensor(28.0)))
    assert angles.abs().max() <= 11.5  # a pixel more for rounding
    assert angles.min() < -7 < 7 < angles.max()
    found = augment(line, Augmentation(shift=0.1), generator=seeded())[:, 0, 32].argmax(dim=1)
    assert (found - 32).abs().max() == 6  # a tenth of 65 px


def test_erasing_takes_a_fiftieth_to_a_fifth():
    white = torch.ones(300, 3, 50, 50)
    found = augment(white, Augmentation(erase=0.5), generator=seeded())
    share = (found[:, 0] == 0.5).float().mean((1, 2))
    hit = share > 0
    assert 0.4 < hit.float().mean() < 0.6
    assert share[hit].min() > 0.01
    assert share[hit].max() < 0.25


def test_a_share_of_the_faces_is_not_moved():
    given = faces(400, size=9)
    far = Augmentation(rotation_deg=20, shift=0.1, zoom=0.1, moved=0.3)
    found = augment(given, far, generator=seeded())
    same = (found - given).abs().amax((1, 2, 3)) < 1e-5
    assert 0.6 < same.float().mean() < 0.8


def test_what_lies_behind_the_edge_is_black_or_a_reflection():
    for border, least, most in (("zeros", 0.05, 0.36), ("reflection", 0, 0)):
        shifted = Augmentation(shift=0.2, border=border)
        found = augment(torch.ones(100, 3, 20, 20), shifted, generator=seeded())
        assert least <= (found[:, 0] < 0.5).float().mean() <= most
