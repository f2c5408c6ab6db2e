"""What training makes small: a loss of logits against soft labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn.functional import cross_entropy

Kind = Literal["cross-entropy", "generalised-cross-entropy"]
_Q = 0.7


def loss_of(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    kind: Kind = "cross-entropy",
    label_smoothing: float = 0.0,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the mean loss of a batch.

    Parameters
    ----------
    logits
        (N, C).
    targets
        (N, C) probabilities of the classes; rows sum to 1.
    kind
        "generalised-cross-entropy" lies between cross-entropy, which wrong labels mislead, and the
        mean absolute error, which learns slowly: (1 - p^q) / q with q = .7 (Zhang and Sabuncu
        2018, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels).
    label_smoothing
        Share (0..1) of each target that is spread over all classes.
    weight
        (C,) of each class; the mean is weighted by that of the targets.

    Returns
    -------
    torch.Tensor
        A number; of cross-entropy in nats.
    """
    if kind == "cross-entropy":
        losses = cross_entropy(
            logits, targets, weight=weight, label_smoothing=label_smoothing, reduction="none"
        )
    else:
        smooth = targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]
        share = smooth if weight is None else smooth * weight
        losses = (share * (1 - logits.softmax(dim=1) ** _Q) / _Q).sum(dim=1)
    return losses.mean() if weight is None else losses.sum() / (targets @ weight).sum()
