"""The losses as one would first write them: one-hot maps, grouped convolutions, loops on the host.

They give the values of hardedge's own (tests/train/losses/test_naive_losses.py), except `abl`: the released form's
conventions, with its search for a threshold and its eight whole maps. They hold for targets with and without ignored
pixels, not for a batch without any label.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.train.losses import Abl, Pat, Ssl
from hardedge.train.losses.asl import IOU_CURVES

Naive = Callable[[Tensor, dict[str, Tensor]], Tensor]


def one_hot(target_BHW: Tensor, like_BCHW: Tensor) -> Tensor:
    """[B, C, H, W], 0 where ignored."""
    valid_BHW = target_BHW != 255
    labels_BHWC = F.one_hot(target_BHW * valid_BHW, like_BCHW.shape[1]) * valid_BHW.unsqueeze(-1)
    return labels_BHWC.movedim(-1, 1).to(like_BCHW.dtype)


def cross_entropy_map(logits_BCHW: Tensor, labels_BCHW: Tensor) -> Tensor:
    return -(logits_BCHW.log_softmax(1) * labels_BCHW).sum(1)


def hardness(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    labels_BCHW = one_hot(given["target"], logits_BCHW)
    loss_BHW = cross_entropy_map(logits_BCHW, labels_BCHW)
    raw_BHW = (given["hardness"].squeeze(1).sigmoid() + 0.1) * labels_BCHW.sum(1)
    weights_BHW = raw_BHW / raw_BHW.sum()
    return (weights_BHW.detach() * loss_BHW).sum() - 0.01 * (weights_BHW * loss_BHW.detach()).sum()


def recall(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    target_BHW = given["target"]
    labels_BCHW = one_hot(target_BHW, logits_BCHW)
    loss_BHW = cross_entropy_map(logits_BCHW, labels_BCHW)
    prediction_BHW = logits_BCHW.argmax(1)
    weights_BHW = torch.zeros_like(loss_BHW)
    for index in range(logits_BCHW.shape[1]):
        own_BHW = target_BHW == index
        missed = (own_BHW & (prediction_BHW != index)).sum().item()
        weights_BHW[own_BHW] = (missed + 1) / (own_BHW.sum().item() + 1)
    return (weights_BHW * loss_BHW).sum() / (target_BHW != 255).sum()


def pat(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    target_BHW = given["target"]
    labels_BCHW = one_hot(target_BHW, logits_BCHW)
    own_BHW = (logits_BCHW.softmax(1) * labels_BCHW).sum(1)
    loss_BHW = 0.5 * ((1 - own_BHW) * Pat().k).exp() * cross_entropy_map(logits_BCHW, labels_BCHW)
    means = [
        loss_BHW[target_BHW == index].mean() for index in range(logits_BCHW.shape[1]) if (target_BHW == index).any()
    ]
    return torch.stack(means).mean()


def lmp(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    """By bisection for the level a."""
    p, ratio = 1.7, 0.3
    q = p / (p - 1)
    loss_N = F.cross_entropy(logits_BCHW, given["target"], ignore_index=255, reduction="none")[given["target"] != 255]
    mass = ratio * len(loss_N)
    low, high = 0.0, len(loss_N) * loss_N.max().item()
    for _ in range(60):
        level = (low + high) / 2
        if (loss_N.detach() / level).pow(q).clamp_max(1).sum().item() > mass:
            low = level
        else:
            high = level
    weights_N = (loss_N.detach() / high).clamp_max(1).pow(q - 1)
    return (weights_N * loss_N).sum() * ratio ** (-1 / p) / len(loss_N)


def cpg(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    num_classes = logits_BCHW.shape[1]
    labels_BCHW = one_hot(given["target"], logits_BCHW)
    slope_33 = torch.tensor([[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]) / 8
    weights = torch.stack((slope_33, slope_33.T)).repeat(num_classes, 1, 1).unsqueeze(1).to(logits_BCHW)

    def gradients(maps_BCHW: Tensor) -> Tensor:
        padded_BCHW = F.pad(maps_BCHW, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded_BCHW, weights, groups=num_classes).unflatten(1, (num_classes, 2))

    found_BC2HW, truth_BC2HW = gradients(logits_BCHW.softmax(1)), gradients(labels_BCHW)
    ignored_B1HW = (given["target"] == 255).float().unsqueeze(1)
    near_B1HW = F.max_pool2d(F.pad(ignored_B1HW, (1, 1, 1, 1)), 3, stride=1) > 0
    counted_BCHW = (truth_BC2HW != 0).any(2) & ~near_B1HW
    squares_BCHW = (found_BC2HW.square() + truth_BC2HW.square()).sum(2)
    distance_BCHW = 1 - 2 * (found_BC2HW * truth_BC2HW).sum(2) / (squares_BCHW + 1e-12)
    return distance_BCHW[counted_BCHW].mean()


def abl(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    return Abl(official=True)(logits_BCHW, given["target"])


def ssl(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    loss, num_classes = Ssl(), logits_BCHW.shape[1]
    labels_BCHW, probabilities_BCHW = one_hot(given["target"], logits_BCHW), logits_BCHW.softmax(1)
    line = torch.exp(-0.5 * (torch.arange(-1, 2) / loss.sigma) ** 2).to(logits_BCHW)
    weights = (torch.outer(line, line) / line.sum() ** 2).expand(num_classes, 1, 3, 3)

    def scores(maps_BCHW: Tensor) -> Tensor:
        padded_BCHW = F.pad(maps_BCHW, (1, 1, 1, 1), mode="replicate")
        mean_BCHW = F.conv2d(padded_BCHW, weights, groups=num_classes)
        square_BCHW = F.conv2d(padded_BCHW.square(), weights, groups=num_classes)
        deviation_BCHW = (square_BCHW - mean_BCHW.square()).clamp_min(0).sqrt()
        return (maps_BCHW - mean_BCHW + loss.c4) / (deviation_BCHW + loss.c4)

    ignored_B1HW = (given["target"] == 255).to(logits_BCHW.dtype).unsqueeze(1)
    whole_B1HW = F.max_pool2d(F.pad(ignored_B1HW, (1, 1, 1, 1)), 3, stride=1) == 0
    with torch.no_grad():
        difference_BCHW = (scores(labels_BCHW) - scores(probabilities_BCHW)).abs() * whole_B1HW
        hard_BCHW = difference_BCHW > loss.beta * difference_BCHW.max()
    bce_BCHW = F.binary_cross_entropy(probabilities_BCHW, labels_BCHW, reduction="none")
    return (difference_BCHW * bce_BCHW)[hard_BCHW].sum() / hard_BCHW.sum()


def asl(logits_BCHW: Tensor, given: dict[str, Tensor]) -> Tensor:
    labels_BCHW = one_hot(given["target"], logits_BCHW)
    probabilities_BCHW = logits_BCHW.softmax(1) * labels_BCHW.sum(1, keepdim=True)
    hit_BCHW = bezier(probabilities_BCHW, IOU_CURVES[:6]) * labels_BCHW
    any_BCHW = bezier(probabilities_BCHW, IOU_CURVES[6:])
    union_BCHW = any_BCHW + labels_BCHW - any_BCHW * labels_BCHW
    present_C = labels_BCHW.sum((0, 2, 3)) > 0
    return 1 - (hit_BCHW.sum((0, 2, 3)) / union_BCHW.sum((0, 2, 3)))[present_C].mean()


def bezier(x: Tensor, numbers: tuple[float, ...]) -> Tensor:
    """The curve of two quadratic pieces, each evaluated everywhere by the quadratic formula."""
    points = [(0.0, 0.0), *zip(numbers[::2], numbers[1::2], strict=True), (1.0, 1.0)]
    heights = []
    for (x0, y0), (x1, y1), (x2, y2) in (points[:3], points[2:]):
        a, b = x0 - 2 * x1 + x2, 2 * (x1 - x0)
        t = (-b + (b * b - 4 * a * (x0 - x)).clamp_min(1e-12).sqrt()) / (2 * a)
        heights.append((1 - t) ** 2 * y0 + 2 * t * (1 - t) * y1 + t**2 * y2)
    return torch.where(x <= points[2][0], *heights)


NAIVE: dict[str, Naive] = {
    "hardness": hardness,
    "recall": recall,
    "pat": pat,
    "cpg": cpg,
    "lmp": lmp,
    "abl": abl,
    "ssl": ssl,
    "asl": asl,
}
