"""Layers of our own against what they stand for: pooling, object-contextual attention, BiSeNetV2's table."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hardedge.models import ARCHITECTURES
from hardedge.models.hrnet_ocr import object_vectors, spatial_attention
from hardedge.models.pooling import GridPool
from hardedge.models.realtime.bisenetv2 import Backbone


@settings(deadline=None)
@given(cells=st.integers(1, 7), height=st.integers(1, 70), width=st.integers(1, 70))
def test_the_grid_pools_as_adaptive_pooling_does(cells: int, height: int, width: int) -> None:
    maps_BChw = torch.randn(2, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(GridPool(cells)(maps_BChw), nn.AdaptiveAvgPool2d(cells)(maps_BChw))


def test_object_vectors_are_means_over_soft_regions() -> None:
    pixels_BChw = torch.randn(2, 3, 2, 4, dtype=torch.float64)
    regions_BKhw = torch.randn(2, 5, 2, 4, dtype=torch.float64)
    found_BCK1 = object_vectors(pixels_BChw, regions_BKhw)
    for b in range(2):
        for k in range(5):
            weights = [math.exp(value) for value in regions_BKhw[b, k].flatten().tolist()]
            for c in range(3):
                values = pixels_BChw[b, c].flatten().tolist()
                mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
                assert math.isclose(found_BCK1[b, c, k, 0].item(), mean, rel_tol=1e-9)


def test_every_pixel_attends_to_the_objects() -> None:
    query_BChw = torch.randn(1, 4, 2, 3, dtype=torch.float64)
    key_BCK1, value_BCK1 = torch.randn(2, 1, 4, 5, 1, dtype=torch.float64)
    found_BChw = spatial_attention(query_BChw, key_BCK1, value_BCK1)
    for y in range(2):
        for x in range(3):
            scores = [float(query_BChw[0, :, y, x] @ key_BCK1[0, :, k, 0]) / math.sqrt(4) for k in range(5)]
            weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
            expected_C = sum(w * value_BCK1[0, :, k, 0] for k, w in enumerate(weights))
            torch.testing.assert_close(found_BChw[0, :, y, x], expected_C)


def test_the_soft_regions_are_the_auxiliary_output_without_weights_of_their_own() -> None:
    known = ARCHITECTURES["hrnetv2_w18_ocr"]
    assert known.auxiliary is not None
    head = known.auxiliary.head(4)
    assert list(head.parameters()) == []
    logits_BKhw = torch.randn(1, 4, 2, 2)
    assert head(logits_BKhw) == (logits_BKhw,)


def test_bisenetv2_has_the_maps_of_its_papers_table() -> None:
    with torch.no_grad():
        maps = Backbone().eval()(torch.randn(1, 3, 64, 128))
    assert {name: tuple(one.shape[1:]) for name, one in maps.items()} == {
        "stem": (16, 16, 32),
        "stage3": (32, 8, 16),
        "stage4": (64, 4, 8),
        "stage5": (128, 2, 4),
        "aggregated": (128, 8, 16),
    }


def test_the_booster_scores_the_four_stages_of_the_semantic_branch() -> None:
    known = ARCHITECTURES["bisenetv2"]
    assert known.auxiliary is not None
    with torch.no_grad():
        heads = known.auxiliary.head(4)(Backbone()(torch.randn(2, 3, 64, 128)))
    assert [tuple(logits_BChw.shape) for logits_BChw in heads] == [
        (2, 4, height, 2 * height) for height in (16, 8, 4, 2)
    ]
