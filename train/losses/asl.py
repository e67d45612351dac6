"""ASL: the loss is a metric whose ANDs and ORs are curves that a search has found."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hardedge.errors import BadInput
from hardedge.train.losses.asl_parts import boundary_sums, class_boundary_band, intersection_and_union, window_valid
from hardedge.train.losses.curves import curve, curve_fault
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, cross_entropy_map, sum_with_gradients

IOU_CURVES = (
    *(0.00056972844, 0.64372045, 0.338589169, 0.70554336, 0.625281252, 0.779551927),  # intersection
    *(0.69037557, 0.01306289, 0.834170515, 0.962431815, 0.942998269, 0.980038125),  # union
)
WEIGHTED_IOU_CURVES = (
    *(0.000365390355, 0.984171689, 0.969491959, 0.992340326, 0.988328516, 0.995552719),  # intersection
    *(0.354609758, 0.267221928, 0.560551465, 0.435290039, 0.565432191, 0.601448298),  # union
)
ACCURACY_CURVE = (0.021453928, 0.73905742, 0.41163361, 0.79865617, 0.91986191, 0.95041156)
BOUNDARY_CURVES = (
    *(0.8113003373146057, 0.8526162505149841),  # intersection: the map
    *(0.17164576053619385, 0.03164796531200409),  # intersection: the eroded map
    *(0.20997394621372223, 0.44903290271759033),  # union: the map
    *(0.07847517728805542, 0.8753038048744202),  # union: the eroded map
)
PUBLISHED: dict[str, tuple[float, ...]] = {
    "miou": IOU_CURVES,
    "fwiou": WEIGHTED_IOU_CURVES,
    "macc": ACCURACY_CURVE,
    "gacc": ACCURACY_CURVE,
    "bf1": BOUNDARY_CURVES,
    "biou": WEIGHTED_IOU_CURVES,
}
CURVES = {"miou": 2, "fwiou": 2, "macc": 1, "gacc": 1, "bf1": 4, "biou": 2}
TOLERANCE = 5  # pixels about a boundary, as published
NEVER_ZERO = 1e-8


@dataclass(frozen=True)
class Asl(Loss):
    """Auto seg-loss (arXiv 2010.07930): 1 - metric, with the metric's logical operations as curves h of p = softmax.

    `miou`: sum h1(p) y / sum (h2(p) + y - h2(p) y), mean over the present classes; `fwiou`: weighted by their pixels;
    `biou`: as miou, within 5 pixels of the labels' boundaries; `macc`, `gacc`: the sum of h(p) over a class's pixels
    by their number, as mean over the present classes and over all pixels; `bf1`: the F1 of boundaries within 5 pixels,
    mean over the classes with a boundary. biou and bf1 only beside a term that sees regions.

    `curves` are other control points than the published ones, in the same order: each curve's x, y, x, y, ... With
    `sync` the sums are those of all processes. Otherwise than the release: absent classes do not count (in macc, miou
    and biou they added a constant), ignored pixels make no boundary and none counts near them, biou keeps class 0, and
    nothing is NaN.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    name: ClassVar[str] = "asl"

    metric: Literal["miou", "fwiou", "macc", "gacc", "bf1", "biou"] = "miou"
    curves: tuple[float, ...] = ()
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        expected = len(PUBLISHED[self.metric])
        if self.curves and len(self.curves) != expected:
            raise BadInput(f'loss "{self}": curves has {len(self.curves)} numbers, {self.metric} takes {expected}.')
        faults = [fault for numbers in self._curves() if (fault := curve_fault(numbers))]
        if faults:
            raise BadInput(f'loss "{self}": curves: {faults[0]}.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor) -> Tensor:
        valid_BHW = target_BHW != self.ignore_index
        if self.metric in ("macc", "gacc"):
            return self._accuracy_loss(logits_BCHW, target_BHW, valid_BHW)
        probabilities_BCHW = at_target_size(logits_BCHW, target_BHW).softmax(1)
        if self.metric == "bf1":
            return self._boundary_loss(probabilities_BCHW, target_BHW, valid_BHW)
        if self.metric == "biou":
            valid_BHW = valid_BHW & class_boundary_band(target_BHW, valid_BHW, TOLERANCE)
        return self._iou_loss(probabilities_BCHW, target_BHW, valid_BHW)

    def _curves(self) -> list[tuple[float, ...]]:
        numbers, count = self.curves or PUBLISHED[self.metric], CURVES[self.metric]
        length = len(numbers) // count
        return [numbers[index * length : (index + 1) * length] for index in range(count)]

    def _accuracy_loss(self, logits_BCHW: Tensor, target_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        loss_BHW = cross_entropy_map(logits_BCHW, target_BHW, self.ignore_index)
        hit_BHW = curve((-loss_BHW).exp(), self._curves()[0]).where(valid_BHW, 0)
        index_N = target_BHW.where(valid_BHW, 0).reshape(-1)
        values_2N = torch.stack((hit_BHW.reshape(-1), valid_BHW.reshape(-1).to(hit_BHW.dtype))).double()
        sums_2C = values_2N.new_zeros(2, logits_BCHW.shape[1]).index_add(1, index_N, values_2N)
        hit_C, labelled_C = sum_with_gradients(sums_2C, self.sync)
        if self.metric == "gacc":
            hit_C, labelled_C = hit_C.sum(0, keepdim=True), labelled_C.sum(0, keepdim=True)
        return mean_shortfall(hit_C / labelled_C.clamp_min(1), (labelled_C > 0).double()).to(loss_BHW.dtype)

    def _iou_loss(self, probabilities_BCHW: Tensor, target_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        sums_3C = intersection_and_union(probabilities_BCHW, target_BHW, valid_BHW, *self._curves())
        hit_C, union_C, labelled_C = sum_with_gradients(sums_3C, self.sync)
        weights_C = labelled_C if self.metric == "fwiou" else (labelled_C > 0).double()
        return mean_shortfall(hit_C / union_C.clamp_min(1), weights_C).to(probabilities_BCHW.dtype)

    def _boundary_loss(self, probabilities_BCHW: Tensor, target_BHW: Tensor, valid_BHW: Tensor) -> Tensor:
        usable_BHW = window_valid(valid_BHW)
        sums = []
        for index, map_BHW in enumerate(probabilities_BCHW.where(valid_BHW.unsqueeze(1), 0).unbind(1)):
            # one class's maps at a time, and again in the backward pass: they are a dozen
            arguments = (map_BHW, target_BHW == index, usable_BHW, self._curves(), TOLERANCE)
            sums.append(checkpoint(boundary_sums, *arguments, use_reentrant=False))
        matched_C, found_C, recalled_C, true_C = sum_with_gradients(torch.stack(sums, 1).double(), self.sync)
        precision_C, recall_C = matched_C / (found_C + NEVER_ZERO), recalled_C / true_C.clamp_min(1)
        f1_C = 2 * precision_C * recall_C / (precision_C + recall_C + NEVER_ZERO)
        return mean_shortfall(f1_C, (true_C > 0).double()).to(probabilities_BCHW.dtype)


def mean_shortfall(score_C: Tensor, weights_C: Tensor) -> Tensor:
    """The weighted mean of 1 - score; 0 where all weights are."""
    return ((1 - score_C) * weights_C).sum() / weights_C.sum().clamp_min(1)
