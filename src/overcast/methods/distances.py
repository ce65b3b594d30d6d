"""What the methods of the literature compare between a teacher and a student, in float32 whatever the autocast.

The teacher is always taken as given. Every mean is over valid places; where none is valid a distance is 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from overcast.methods.losses import TargetWeights, area_share, sum_of_targets, weighted_mean

_OUT = -1e9  # logit of a pixel outside the softmax: its probability is exactly 0 and all differences stay finite


def channel_alignment(
    teacher: Tensor,
    student: Tensor,
    *,
    temperature: float,
    valid: Tensor | None = None,
    weights: TargetWeights = None,
) -> Tensor:
    """Channel-wise distillation (Shu et al., ICCV 2021, Eq. 4): tau^2 KL between distributions over the pixels.

    phi(y)_c,i = exp(y_c,i / tau) / sum_j exp(y_c,j / tau) over the valid pixels j of an image; the divergence is
    averaged over the channels and over the images that have a valid pixel.

    Args:
        teacher: (B, K, H, W) logits or features.
        student: Of the same shape.
        temperature: tau.
        valid: (B, 1, H, W) bool; None counts every pixel.
        weights: Of K targets: their weighted sum replaces the mean over the channels.
    """
    t, s = teacher.detach().float().flatten(2) / temperature, student.float().flatten(2) / temperature
    has_pixels = torch.ones_like(t[:, :1, 0])
    if valid is not None:
        counts = valid.flatten(2)
        t, s = t.masked_fill(~counts, _OUT), s.masked_fill(~counts, _OUT)
        has_pixels = counts.any(2).float()
    log_t, log_s = F.log_softmax(t, dim=2), F.log_softmax(s, dim=2)
    channels = (log_t.exp() * (log_t - log_s)).sum(2)
    divergence = channels.mean(1, keepdim=True) if weights is None else sum_of_targets(channels, weights)
    return temperature**2 * weighted_mean(divergence, has_pixels)


def hallucination_distance(teacher: Tensor, student: Tensor, weight: Tensor | None = None) -> Tensor:
    """Hoffman et al., CVPR 2016, Eq. 1: || sigmoid(A_t) - sigmoid(A_s) ||^2 of each place, mean over the places.

    Args:
        teacher: (B, C, h, w) features A_t.
        student: (B, C, h, w) features A_s.
        weight: (B, 1, h, w) in [0, 1]; None counts every place.
    """
    squares = (torch.sigmoid(teacher.detach().float()) - torch.sigmoid(student.float())) ** 2
    return mean_of(squares.sum(1, keepdim=True), weight)


def mean_square(teacher: Tensor, student: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of the squared difference over channels and places (B, C, h, w), weights as (B, 1, h, w)."""
    return mean_of(((teacher.detach().float() - student.float()) ** 2).mean(1, keepdim=True), weight)


def soft_cross_entropy(
    teacher: Tensor,
    student: Tensor,
    *,
    temperature: float = 1.0,
    valid: Tensor | None = None,
    weights: TargetWeights = None,
) -> Tensor:
    """Cross entropy of the student's probabilities with the teacher's, softened by `temperature`; mean over pixels.

    The student is not softened (Lopez-Paz et al., ICLR 2016). Bernoulli for one logit, categorical for more; of
    K targets with `weights` the weighted sum of the Bernoulli ones.
    """
    t, s = teacher.detach().float() / temperature, student.float()
    if t.shape[1] == 1 or weights is not None:
        entropy = sum_of_targets(F.binary_cross_entropy_with_logits(s, torch.sigmoid(t), reduction="none"), weights)
    else:
        entropy = -(torch.softmax(t, 1) * F.log_softmax(s, 1)).sum(1, keepdim=True)
    return mean_of(entropy, valid)


def margin_aware_distance(teacher: Tensor, student: Tensor, uncertainty: Tensor) -> Tensor:
    """Margin-aware distillation (Wei et al., CVPR 2023): sum_i w_i || R_t,i - R_s,i ||^2.

    R = X X^T with each row divided by its Euclidean norm; w = uncertainty / sum(uncertainty).

    Args:
        teacher: (N, C) features of N samples.
        student: (N, C).
        uncertainty: (N,) not negative; 0 leaves a sample out of the sum.
    """
    with torch.autocast(teacher.device.type, enabled=False):
        t, s = teacher.detach().float(), student.float()
        rows = ((F.normalize(t @ t.T, dim=1) - F.normalize(s @ s.T, dim=1)) ** 2).sum(1)
    return weighted_mean(rows, uncertainty)


def entropy_of(logits: Tensor, weights: TargetWeights = None) -> Tensor:
    """(B, 1, h, w) entropy in nats of the class probabilities of logits (B, K, h, w); of targets the weighted sum."""
    x = logits.float()
    if x.shape[1] == 1 or weights is not None:
        return sum_of_targets(F.binary_cross_entropy_with_logits(x, torch.sigmoid(x), reduction="none"), weights)
    log_p = F.log_softmax(x, 1)
    return -(log_p.exp() * log_p).sum(1, keepdim=True)


def places_of(valid: Tensor | None, features: Tensor, cell_px: int) -> Tensor | None:
    """(B, 1, h, w) share of valid pixels behind each place of features (B, C, h, w), whose stride is `cell_px`."""
    return None if valid is None else area_share(valid, features.shape[-2:], cell_px)


def mean_of(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of values (B, 1, h, w) with weights in [0, 1] of the same shape; None counts every place."""
    return weighted_mean(values, torch.ones_like(values) if weight is None else weight.float())
