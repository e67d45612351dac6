"""ABL: predicted boundaries move, pixel by pixel, towards those of the labels."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hardedge.errors import BadInput
from hardedge.train.losses.boundary import NO_BOUNDARY, boundary_distance, official_boundary_distance
from hardedge.train.losses.loss import Loss
from hardedge.train.losses.pixels import at_target_size, processes, sum_with_gradients

LEAST_DIVERGENCE = 1e-5  # where the release's search for a threshold begins: rounding makes no boundary
# the release's order of (row, column), which decides between equally near neighbours
NEIGHBOURS = ((1, 0), (-1, 0), (0, -1), (0, 1), (-1, 1), (1, 1), (-1, -1), (1, -1))
FAR = 1e30  # beyond any divergence between finite logits of a network


@dataclass(frozen=True)
class Abl(Loss):
    """Active boundary loss (arXiv 2102.02696): a term beside cross-entropy and Lovasz.

    Predicted boundary: the `budget` share of each image's labelled pixels (one at least) with the largest
    KL(P || P right) + KL(P || P below), and their 8 neighbours. Such a pixel should differ most from the neighbour that
    is nearest to a boundary of the labels: the direction's distribution is the softmax of KL(P neighbour || P), the
    neighbours' P detached; its cross-entropy, with label `smoothing`, weighs min(distance, max_distance) /
    max_distance. The mean over the batch's (with `sync` all processes') predicted boundary pixels; those nearer than
    all their neighbours, and images without a boundary, are left out.

    `distance` [B, H, W] is each pixel's distance to the labels' boundary, from `boundary_distance` in the data loader.
    Without it, it is computed here, on the CPU: a GPU waits, and torch.compile cannot trace it. Our reading: pixels
    that are ignored or outside are no neighbours, and share in no smoothing.

    `official` is the authors' release: the batch's predicted boundary has 1 % of one image's pixels, by a threshold
    that grows in steps of 1.2; distances are truncated (`distance` is not used), ignored pixels are boundaries and
    count, P is continued beyond the border, the smoothed target is 0.8 and 7 times 0.025. Where the release gives NaN,
    nothing, or directions to no boundary, it is zero. Of the other options it takes sync alone; a GPU waits.
    """

    needs: ClassVar[tuple[str, ...]] = ("logits",)
    accepts: ClassVar[tuple[str, ...]] = ("distance",)
    name: ClassVar[str] = "abl"

    budget: float = 0.01
    max_distance: float = 20.0
    smoothing: float = 0.2
    official: bool = False
    sync: bool = False
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not (0 < self.budget <= 1 and self.max_distance > 0 and 0 <= self.smoothing < 1):
            wanted = "budget must be above 0 and at most 1, max_distance positive, smoothing from 0 to below 1"
            raise BadInput(f'loss "{self}": {wanted}. The authors take 0.01, 20 and 0.2.')
        if self.official and (self.budget, self.max_distance, self.smoothing) != (0.01, 20.0, 0.2):
            raise BadInput(f'loss "{self}": official fixes budget, max_distance and smoothing. Leave them out.')
        super().__post_init__()

    def __call__(self, logits_BCHW: Tensor, target_BHW: Tensor, *, distance: Tensor | None = None) -> Tensor:
        logits_BCHW = at_target_size(logits_BCHW, target_BHW)
        if distance is None or self.official:
            distance = distances(target_BHW, self.ignore_index, self.official)
        known_BHW = torch.ones_like(target_BHW, dtype=torch.bool) if self.official else target_BHW != self.ignore_index
        with torch.no_grad():
            log_BCHW = logits_BCHW.log_softmax(1)
            probabilities_BCHW = log_BCHW.exp()
            negentropy_BHW, divergence_BHW = divergences(probabilities_BCHW, log_BCHW, known_BHW)
            pick = official_boundary if self.official else predicted_boundary
            place_BK, counted_BK = pick(divergence_BHW, known_BHW, self.budget)
            around_B8K, inside_B8K = shift_maps(place_BK, known_BHW.shape[1:], NEIGHBOURS)
            known_B8K = inside_B8K & read_at(known_BHW, around_B8K)
            direction_BK, own_BK, moves_BK = nearest_neighbour(distance, place_BK, around_B8K, known_B8K)
        counted_BK = counted_BK & moves_BK
        logits_B8K = direction_logits(logits_BCHW, probabilities_BCHW, negentropy_BHW, place_BK, around_B8K)
        shares_B8K = (known_B8K | self.official) & counted_BK.unsqueeze(1)
        loss_BK = self._cross_entropy(logits_B8K, shares_B8K, direction_BK)
        weight_BK = own_BK.clamp(max=self.max_distance) / self.max_distance
        total = (weight_BK * loss_BK).where(counted_BK, 0).sum()
        return total * processes(self.sync) / sum_with_gradients(counted_BK.sum(), self.sync).clamp_min(1)

    def _cross_entropy(self, logits_B8K: Tensor, shares_B8K: Tensor, direction_BK: Tensor) -> Tensor:
        """Smoothed cross-entropy of the directions, over the neighbours that share in it."""
        log_B8K = logits_B8K.where(shares_B8K, -FAR).log_softmax(1).where(shares_B8K, 0)
        right_BK = log_B8K.gather(1, direction_BK.unsqueeze(1)).squeeze(1)
        others_BK = log_B8K.sum(1) - right_BK
        if self.official:
            return -0.8 * right_BK - 0.025 * others_BK
        return (self.smoothing - 1) * right_BK - self.smoothing * others_BK / (shares_B8K.sum(1) - 1).clamp_min(1)


def distances(target_BHW: Tensor, ignore_index: int, official: bool) -> Tensor:
    """Each pixel's distance to the boundary of the labels, float32 [B, H, W], computed on the CPU."""
    measure = official_boundary_distance if official else boundary_distance
    maps = [torch.from_numpy(measure(target_HW, ignore_index)) for target_HW in target_BHW.cpu().numpy()]
    return torch.stack(maps).to(target_BHW.device)


def divergences(probabilities_BCHW: Tensor, log_BCHW: Tensor, known_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """sum P log P, and KL(P || P right) + KL(P || P below) where both are known; [B, H, W]."""
    negentropy_BHW = (probabilities_BCHW * log_BCHW).sum(1)
    divergence_BHW = torch.zeros_like(negentropy_BHW)
    for dim in (1, 2):
        length = known_BHW.shape[dim] - 1
        cross_BHW = (probabilities_BCHW.narrow(dim + 1, 0, length) * log_BCHW.narrow(dim + 1, 1, length)).sum(1)
        both_BHW = known_BHW.narrow(dim, 0, length) & known_BHW.narrow(dim, 1, length)
        divergence_BHW.narrow(dim, 0, length).add_(
            (negentropy_BHW.narrow(dim, 0, length) - cross_BHW).where(both_BHW, 0)
        )
    return negentropy_BHW, divergence_BHW


def predicted_boundary(divergence_BHW: Tensor, known_BHW: Tensor, budget: float) -> tuple[Tensor, Tensor]:
    """Where each image's largest divergences and their neighbours are, in its flattened pixels: as many places for
    every image, and which of them count, each pixel once; [B, K]."""
    size = known_BHW.shape[1:]
    largest_Bk, place_Bk = divergence_BHW.flatten(1).topk(max(int(budget * size.numel()), 1))
    allowed_B1 = (budget * known_BHW.sum((1, 2))).long().clamp_min(1).unsqueeze(1)
    chosen_Bk = (largest_Bk > LEAST_DIVERGENCE) & (torch.arange(place_Bk.shape[1], device=place_Bk.device) < allowed_B1)
    around_B9k, inside_B9k = shift_maps(place_Bk, size, ((0, 0), *NEIGHBOURS))
    counted_BK = (inside_B9k & chosen_Bk.unsqueeze(1) & read_at(known_BHW, around_B9k)).flatten(1)
    place_BK = around_B9k.flatten(1)
    rank_K = torch.arange(place_BK.shape[1], device=place_BK.device)
    nobody = place_BK.new_full((len(place_BK), size.numel()), place_BK.shape[1])
    first_BN = nobody.scatter_reduce_(1, place_BK, rank_K.where(counted_BK, place_BK.shape[1]), "amin")
    return place_BK, first_BN.gather(1, place_BK) == rank_K


def official_boundary(divergence_BHW: Tensor, known_BHW: Tensor, budget: float) -> tuple[Tensor, Tensor]:
    """The same as the release has it."""
    threshold = LEAST_DIVERGENCE
    while (divergence_BHW > threshold).sum() > budget * known_BHW[0].numel():
        threshold *= 1.2
    wide_BHW = F.max_pool2d((divergence_BHW > threshold).float(), 3, stride=1, padding=1)
    most = int(wide_BHW.sum((1, 2)).max())
    counted_BK, place_BK = wide_BHW.flatten(1).topk(max(most, 1))
    return place_BK, counted_BK > 0


def shift_maps(place_BK: Tensor, size: torch.Size, offsets: tuple[tuple[int, int], ...]) -> tuple[Tensor, Tensor]:
    """The places (row, column) offsets away, the nearest inside, and whether they are inside; [B, offsets, K]."""
    height, width = size
    # not from a tensor of offsets: a GPU would wait for its copy
    rows_BOK = torch.stack([place_BK // width + down for down, _ in offsets], 1)
    columns_BOK = torch.stack([place_BK % width + right for _, right in offsets], 1)
    inside_BOK = (rows_BOK >= 0) & (rows_BOK < height) & (columns_BOK >= 0) & (columns_BOK < width)
    return rows_BOK.clamp(0, height - 1) * width + columns_BOK.clamp(0, width - 1), inside_BOK


def read_at(map_BHW: Tensor, place_BOK: Tensor) -> Tensor:
    """The map's values at places in its flattened pixels."""
    return map_BHW.flatten(1).gather(1, place_BOK.flatten(1)).view(place_BOK.shape)


def nearest_neighbour(
    distance_BHW: Tensor, place_BK: Tensor, around_B8K: Tensor, known_B8K: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The first of the neighbours that are nearest to a boundary; the pixel's own distance; whether there is a boundary
    and the pixel is not the nearest itself."""
    own_BK = read_at(distance_BHW, place_BK)
    near_B8K = read_at(distance_BHW, around_B8K).where(known_B8K, torch.inf)
    return near_B8K.argmin(1), own_BK, (own_BK < NO_BOUNDARY) & (near_B8K.amin(1) <= own_BK)


def direction_logits(
    logits_BCHW: Tensor, probabilities_BCHW: Tensor, negentropy_BHW: Tensor, place_BK: Tensor, around_B8K: Tensor
) -> Tensor:
    """KL(P neighbour || P) of each place, [B, 8, K]; the gradient passes through P alone."""
    log_BCK = as_columns(logits_BCHW, place_BK).log_softmax(1)
    cross = [(as_columns(probabilities_BCHW, around_BK) * log_BCK).sum(1) for around_BK in around_B8K.unbind(1)]
    return read_at(negentropy_BHW, around_B8K) - torch.stack(cross, 1)


def as_columns(maps_BCHW: Tensor, place_BK: Tensor) -> Tensor:
    """All channels at places in the flattened pixels, [B, C, K]."""
    return maps_BCHW.flatten(2).gather(2, place_BK.unsqueeze(1).expand(-1, maps_BCHW.shape[1], -1))
