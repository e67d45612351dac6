"""EfficientNet's tensors under two libraries' names: lukemelas' EfficientNet-PyTorch counts blocks, timm has stages."""

import re
from collections.abc import Iterable

STEM = re.compile(r"(?P<prefix>.*?)_conv_stem\.weight")
BLOCK = re.compile(r"(?:^|\.)(blocks\.\d+\.\d+)\.")
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
EXPANDING = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}
SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}


def timm_names(given: Iterable[str], expected: Iterable[str]) -> dict[str, str]:
    """The given names by timm's names for them; as they are where they are not lukemelas'.

    `expected` are timm's: their order says which stage a block is of. A name that has no place there stays.
    """
    names = list(given)
    stem = next(filter(None, map(STEM.fullmatch, names)), None)
    if stem is None:
        return {name: name for name in names}
    prefix = stem["prefix"]
    blocks = list(dict.fromkeys(found[1] for name in expected if (found := BLOCK.search(name))))
    bare = {name.removeprefix(prefix): name for name in names}
    expanding = {name.split(".")[1] for name in bare if "._expand_conv." in name}
    return {_renamed(name, blocks, expanding): bare[name] for name in bare}


def _renamed(name: str, blocks: list[str], expanding: set[str]) -> str:
    part, _, rest = name.partition(".")
    if part != "_blocks":
        return f"{OUTSIDE.get(part, part)}.{rest}"
    number, part, rest = rest.split(".", 2)
    if int(number) >= len(blocks):
        return name
    parts = (EXPANDING if number in expanding else SEPARABLE) | SQUEEZE
    return f"{blocks[int(number)]}.{parts.get(part, part)}.{rest}"
