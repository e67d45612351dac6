"""What an exported graph takes and gives: sizes, outputs, opset; and the options that say so."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hardedge.contracts import Contract, Profile, hull
from hardedge.errors import BadInput

OPSETS: Final = range(18, 24)  # what onnxruntime and TensorRT-RTX's parser were tried with
OUTPUTS: Final = ("margin", "logits")  # beside the mask, in this order
SMALLEST_SIDE: Final = 32  # the networks of hardedge.models take images from 32x32 up
FIXED_BATCH: Final = 4  # the largest batch under a fixed size


@dataclass(frozen=True, kw_only=True)
class Form(Contract):
    """The sizes that a graph takes, the (height, width) that its network runs at, its outputs, its opset.

    Without profiles they are the data set's. Without a network size the network runs at the image's size.
    """

    profiles: tuple[Profile, ...] = ()
    network_size: tuple[int, int] | None = None
    outputs: tuple[str, ...] = ("mask",)
    opset: int = 20

    def hull(self) -> Profile:
        """The range that holds every profile: the sizes that the graph is traced for."""
        return hull(self.profiles)


def parse_form(
    sizes: Sequence[str], profiles: Sequence[str], network_size: str | None, outputs: Sequence[str], opset: int
) -> Form:
    """The form that the options name; raises BadInput for one that cannot be read or used."""
    wanted = (*(fixed_size(text) for text in sizes), *(named_profile(text) for text in profiles))
    names = [profile.name for profile in wanted]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput(f"--size, --profile: {', '.join(doubled)} is given twice. Give each profile a name of its own.")
    if opset not in OPSETS:
        raise BadInput(f"--opset {opset}: hardedge writes {OPSETS.start} to {OPSETS.stop - 1}. Give one of these.")
    return Form(
        profiles=wanted,
        network_size=parse_size(network_size, "--network-size") if network_size else None,
        outputs=("mask", *(name for name in OUTPUTS if name in outputs)),
        opset=opset,
    )


def fixed_size(text: str) -> Profile:
    """The profile of one size, `512x1024`: height and width; batches of 1 to 4."""
    height, width = parse_size(text, "--size")
    size = (1, height, width)
    return _profile(f"--size {text}", text, size, size, (FIXED_BATCH, height, width))


def named_profile(text: str) -> Profile:
    """The profile `small=1x256x256:1x512x512:4x512x1024`: a name, then the least, typical and largest size."""
    parts = re.fullmatch(r"([^=]+)=(\d+)x(\d+)x(\d+):(\d+)x(\d+)x(\d+):(\d+)x(\d+)x(\d+)", text)
    if not parts:
        raise BadInput(
            f"--profile {text}: expected NAME=MIN:TYPICAL:MAX, each BATCHxHEIGHTxWIDTH. "
            "Write it as small=1x256x256:1x512x512:4x512x1024."
        )
    a, b, c, d, e, f, g, h, i = (int(number) for number in parts.groups()[1:])
    return _profile(f"--profile {text}", parts[1], (a, b, c), (d, e, f), (g, h, i))


def parse_size(text: str, option: str) -> tuple[int, int]:
    """`512x1024`, a height and a width of at least 32; raises BadInput with the option's name."""
    parts = re.fullmatch(r"(\d+)x(\d+)", text)
    if not parts or min(int(parts[1]), int(parts[2])) < SMALLEST_SIDE:
        raise BadInput(f"{option} {text}: expected HEIGHTxWIDTH, each {SMALLEST_SIDE} or more. Write it as 512x1024.")
    return int(parts[1]), int(parts[2])


def _profile(
    option: str, name: str, least: tuple[int, int, int], typical: tuple[int, int, int], most: tuple[int, int, int]
) -> Profile:
    if min(least[1:]) < SMALLEST_SIDE:
        raise BadInput(
            f"{option}: the networks take images from {SMALLEST_SIDE}x{SMALLEST_SIDE} up. Give a larger one."
        )
    try:
        return Profile(min=least, opt=typical, max=most, name=name)
    except ValueError as error:
        raise BadInput(f"{option}: {error}. Correct it.") from None
