"""A loss of soft labels is torch's where torch has it; the robust one bounds what a lie costs."""

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from exe_core.training import loss_of

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
CLASSES = torch.tensor([0, 1, 2, 3, 0, 0])
TARGETS = one_hot(CLASSES, 4).double()
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.double)
ROBUST = {"kind": "generalised-cross-entropy"}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_cross_entropy_of_sure_labels_is_that_of_classes(smoothing, weight):
    expected = cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing, weight=weight)
    found = loss_of(LOGITS, TARGETS, label_smoothing=smoothing, weight=weight)
    assert float(found) == pytest.approx(float(expected))


def test_cross_entropy_of_the_models_own_answer_is_its_entropy():
    answers = LOGITS.softmax(dim=1)
    entropy = -(answers * answers.log()).sum(dim=1).mean()
    assert float(loss_of(LOGITS, answers)) == pytest.approx(float(entropy))


class TestGeneralised:
    def test_a_sure_right_answer_costs_nothing(self):
        assert float(loss_of(40 * TARGETS, TARGETS, **ROBUST)) == pytest.approx(0, abs=1e-9)

    def test_a_sure_wrong_one_costs_a_bounded_amount(self):
        wrong = -1e4 * TARGETS
        assert float(loss_of(wrong, TARGETS, **ROBUST)) == pytest.approx(1 / 0.7)
        assert float(loss_of(wrong, TARGETS)) > 1e3

    def test_is_the_published_formula(self):
        right = LOGITS.softmax(dim=1)[range(6), CLASSES]
        expected = ((1 - right**0.7) / 0.7).mean()
        assert float(loss_of(LOGITS, TARGETS, **ROBUST)) == pytest.approx(float(expected))

    def test_of_uniform_labels_smoothing_changes_nothing(self):
        even = torch.full((6, 4), 0.25, dtype=torch.double)
        plain, smooth = (loss_of(LOGITS, even, label_smoothing=s, **ROBUST) for s in (0, 0.3))
        assert float(plain) == pytest.approx(float(smooth))

    def test_equal_weights_change_nothing(self):
        same = torch.full((4,), 5.0, dtype=torch.double)
        found = loss_of(LOGITS, TARGETS, weight=same, **ROBUST)
        assert float(found) == pytest.approx(float(loss_of(LOGITS, TARGETS, **ROBUST)))

    def test_a_wrong_label_pulls_less_than_in_cross_entropy(self):
        logits = torch.tensor([[6.0, 0.0]], requires_grad=True)
        lie = torch.tensor([[0.0, 1.0]])
        pulls = []
        for kind in ("cross-entropy", "generalised-cross-entropy"):
            (pull,) = torch.autograd.grad(loss_of(logits, lie, kind=kind), logits)
            pulls.append(float(pull.abs().sum()))
        assert pulls[1] < 0.05 * pulls[0]
