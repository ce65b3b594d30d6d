"""Segmentation losses and the alignment D(t, s), in float32 whatever the autocast.

Every mean is over valid pixels; where none is valid a loss is 0 with gradient 0.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from overcast.batch import IGNORE_LABEL
from overcast.methods.pooling import pooled
from overcast.models.blocks import STRIDE

DICE_SMOOTHING = 1.0
"""Pixels added to both sides of the Dice quotient: an empty truth with an empty prediction costs nothing."""


class TeacherGradient(StrEnum):
    """Where the gradient of an alignment goes."""

    DETACH = "detach"
    """To the student alone."""
    MUTUAL = "mutual"
    """To student and teacher."""


TargetWeights = tuple[float, ...] | None
"""Weight of each logit where every channel is a target of its own; None where channels are classes, or there is one."""


def over_targets(weights: tuple[float, ...], term: Callable[[int], Tensor]) -> Tensor:
    """Weighted sum of a term of each target: what one-logit losses become with edges and contacts."""
    return torch.stack([weight * term(target) for target, weight in enumerate(weights)]).sum(0)


def sum_of_targets(values: Tensor, weights: TargetWeights) -> Tensor:
    """(B, 1, ...) weighted sum over the channels of (B, K, ...); without weights K is 1 and nothing changes."""
    if weights is None:
        return values
    weight = torch.tensor(weights, dtype=values.dtype, device=values.device)
    return (values * weight.view(1, -1, *[1] * (values.ndim - 2))).sum(1, keepdim=True)


def segmentation_loss(
    logits: Tensor, label: Tensor, valid: Tensor | None = None, weights: TargetWeights = None
) -> Tensor:
    """L_seg = cross entropy + Dice on the valid pixels of a batch.

    Args:
        logits: (B, K, H, W); K = 1 is one logit for label 1, more are one logit per label.
        label: (B, H, W) integers; 255 is ignored. With `weights` (B, K, H, W), 0 or 1 for each target.
        valid: (B, 1, H, W) bool, False where the sensor has no data; None counts every pixel.
        weights: Of K targets: the loss is the weighted sum of the one-logit losses.
    """
    if weights is not None:
        return over_targets(weights, lambda k: segmentation_loss(logits[:, k : k + 1], label[:, k], valid))
    target, weight = _target(label, valid, logits.shape[1])
    return _soft_segmentation_loss(logits.float(), target, weight)


def share_loss(logits: Tensor, label: Tensor, valid: Tensor | None = None, weights: TargetWeights = None) -> Tensor:
    """L_seg of stride-32 logits (B, K, h, w) with the area-averaged label.

    The target of a cell is the mean label over its valid pixels and its weight the share of them; the arguments are as
    in `segmentation_loss`, `label` and `valid` may be smaller than h * 32, w * 32 (the network pads its input).
    """
    if weights is not None:
        return over_targets(weights, lambda k: share_loss(logits[:, k : k + 1], label[:, k], valid))
    target, weight = _target(label, valid, logits.shape[1])
    share = area_share(weight, logits.shape[-2:])
    average = area_share(target * weight, logits.shape[-2:]) / torch.where(share > 0, share, 1)
    return _soft_segmentation_loss(logits.float(), average, share)


def soft_segmentation_loss(
    teacher: Tensor, student: Tensor, weight: Tensor | None = None, weights: TargetWeights = None
) -> Tensor:
    """L_seg of the student's logits with the teacher's probabilities, taken as given, in place of the label.

    Args:
        teacher: (B, K, H, W) logits t.
        student: (B, K, H, W) logits s.
        weight: (B, 1, H, W) bool or weights in [0, 1]; None counts every pixel.
        weights: Of K targets: the weighted sum of their losses.
    """
    if weights is not None:
        return over_targets(
            weights, lambda k: soft_segmentation_loss(teacher[:, k : k + 1], student[:, k : k + 1], weight)
        )
    t, s = teacher.detach().float(), student.float()
    counted = torch.ones_like(s[:, :1]) if weight is None else weight.float()
    return _soft_segmentation_loss(s, torch.sigmoid(t) if t.shape[1] == 1 else torch.softmax(t, 1), counted)


def confident(teacher: Tensor, threshold: float, weights: TargetWeights = None) -> Tensor:
    """(B, 1, H, W) bool: True where the decision of logits t (B, K, H, W) has at least the probability `threshold`.

    Of several targets the first, the footprint, decides.
    """
    t = teacher.detach().float()
    if t.shape[1] > 1 and weights is None:
        return torch.softmax(t, 1).amax(1, keepdim=True) >= threshold
    return torch.sigmoid(t[:, :1].abs()) >= threshold


def area_share(mask: Tensor, size: torch.Size | tuple[int, int], cell_px: int = STRIDE) -> Tensor:
    """(B, C, h, w) float32: mean of `mask` (B, C, H, W) over square cells of `cell_px`, outside counting as 0."""
    bottom, right = size[0] * cell_px - mask.shape[-2], size[1] * cell_px - mask.shape[-1]
    with torch.autocast(mask.device.type, enabled=False):
        return F.avg_pool2d(F.pad(mask.float(), (0, right, 0, bottom)), cell_px)


def alignment(
    teacher: Tensor,
    student: Tensor,
    *,
    temperature: float,
    gradient: TeacherGradient = TeacherGradient.DETACH,
    valid: Tensor | None = None,
    weights: TargetWeights = None,
) -> Tensor:
    """D(t, s) = tau^2 KL(softened teacher || softened student), mean over valid pixels.

    Bernoulli for one logit, categorical over the classes for more. Zero where the logits are equal.

    Args:
        teacher: (B, K, h, w) logits t.
        student: (B, K, h, w) logits s.
        temperature: tau.
        gradient: `DETACH` takes the teacher as given.
        valid: (B, 1, h, w) bool, or weights in [0, 1]; None counts every pixel.
        weights: Of K targets: the weighted sum of their Bernoulli divergences.
    """
    t = (teacher.detach() if gradient is TeacherGradient.DETACH else teacher).float() / temperature
    s = student.float() / temperature
    if t.shape[1] == 1 or weights is not None:
        divergence = sum_of_targets(_bernoulli_kl(t, s), weights)
    else:
        divergence = _categorical_kl(t, s)
    weight = torch.ones_like(divergence) if valid is None else valid.float()
    return temperature**2 * weighted_mean(divergence, weight)


def teacher_correct(teacher: Tensor, label: Tensor, weights: TargetWeights = None) -> Tensor:
    """(B, 1, h, w) float32: 1 where the decision of logits t is the label's, 0 elsewhere and where there is no label.

    Of several targets the first, the footprint, decides; of several classes the most probable one.

    Args:
        teacher: (B, K, h, w) logits, of pixels or of cells of 32 px.
        label: (B, H, W), 255 for no label; of a cell the class of most of its labelled pixels.
        weights: Of K targets, where the logits are those.
    """
    known, classes = label != IGNORE_LABEL, torch.where(label == IGNORE_LABEL, 0, label).long()
    several = teacher.shape[1] > 1 and weights is None
    count = int(teacher.shape[1]) if several else 2
    shares = F.one_hot(classes, count).permute(0, 3, 1, 2) * known[:, None]
    if label.shape[-2:] != teacher.shape[-2:]:
        shares = area_share(shares, teacher.shape[-2:])
    decided = teacher.argmax(1) if several else (teacher[:, 0] > 0).long()
    right = (shares.argmax(1) == decided) & (shares.sum(1) > 0)
    return right[:, None].float()


def _bernoulli_kl(t: Tensor, s: Tensor) -> Tensor:
    positive = torch.sigmoid(t) * (F.logsigmoid(t) - F.logsigmoid(s))
    negative = torch.sigmoid(-t) * (F.logsigmoid(-t) - F.logsigmoid(-s))
    return positive + negative


def _categorical_kl(t: Tensor, s: Tensor) -> Tensor:
    log_t, log_s = F.log_softmax(t, dim=1), F.log_softmax(s, dim=1)
    return (log_t.exp() * (log_t - log_s)).sum(1, keepdim=True)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """sum(values * weight) / sum(weight) over the batch of all processes; 0 where no weight is."""
    sums = pooled(torch.stack([(values * weight).sum(), weight.sum()]))
    return sums[0] / torch.where(sums[1] > 0, sums[1], 1)


def _target(label: Tensor, valid: Tensor | None, classes: int) -> tuple[Tensor, Tensor]:
    """Target (B, K, H, W) and weight (B, 1, H, W), float32; the target is background where the weight is 0."""
    counts = (label != IGNORE_LABEL)[:, None]
    if valid is not None:
        counts = counts & valid
    known = torch.where(counts[:, 0], label, 0).long()
    target = known[:, None] if classes == 1 else F.one_hot(known, classes).permute(0, 3, 1, 2)
    return target.float(), counts.float()


def _soft_segmentation_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy + Dice against targets in [0, 1], each pixel counted with its weight."""
    if logits.shape[1] == 1:
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        probability = torch.sigmoid(logits)
    else:
        log_probability = F.log_softmax(logits, dim=1)
        entropy = -(target * log_probability).sum(1, keepdim=True)
        probability = log_probability.exp()
    return weighted_mean(entropy, weight) + _dice_loss(probability, target, weight)


def _dice_loss(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice, pooled over the batch; with several classes the mean over those that occur."""
    pixels = (0, 2, 3)
    parts = [(probability * target * weight), target * weight, probability * weight]
    sums = pooled(torch.stack([part.sum(pixels) for part in parts]))
    overlap, truth, predicted = sums[0], sums[1], sums[2]
    loss = 1 - (2 * overlap + DICE_SMOOTHING) / (predicted + truth + DICE_SMOOTHING)
    occurs = torch.ones_like(truth) if len(truth) == 1 else (truth > 0).float()
    return (loss * occurs).sum() / torch.where(occurs.sum() > 0, occurs.sum(), 1)
