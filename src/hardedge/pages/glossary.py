"""What the words of reports and documents mean, in two sentences each; docs/glossary.md is made from it."""

from __future__ import annotations

import re
from typing import Final

from hardedge.pages.markup import Markup, join_markup, tag

__all__ = ["GLOSSARY", "explained", "glossary_markdown"]

GLOSSARY: Final = {
    "A/A": "The same file timed against itself, as if it were two. Whatever difference that shows is noise.",
    "arm": "One of the two things that a test compares, such as the shipped network and the plain one. "
    "The word comes from clinical trials.",
    "branch": "A part of the network that only training uses, such as a hardness branch or an auxiliary head. "
    "hardedge keeps it beside the network, so export has nothing to cut out.",
    "built, not run": "An engine was built, and no device of its kind is in this machine. "
    "Nothing is known about its masks or its speed.",
    "bundle": "The directory that `export` writes: ONNX files, the reference's masks, golden images, certificate. "
    "It holds all that a device needs, and all that checks it there.",
    "calibration": "Choosing the range of numbers that INT8 covers in each tensor, from example images. "
    "Values outside the range are cut off.",
    "certificate": "The record that the shipped network equals the plain network, so that nothing of the training's "
    "branches is in it. It names what was compared, and says by itself nothing about accuracy or speed.",
    "engine": "A network compiled for one runtime and one kind of device. TensorRT calls the file a plan.",
    "equivalent": "The 90 % interval of a latency ratio lies within 1 % of equal speed. "
    "It is a finding, not the absence of one.",
    "gate": "A limit that you set, such as `--max-miou-drop 0.1`. The command exits with 1 if it does not hold, or if "
    "it could not be decided.",
    "golden image": "A test image stored in the bundle together with the mask that the reference gave. "
    "A device checks itself with it, without the data set.",
    "hardness": "How likely the network is to get a pixel wrong, from 0 (easy) to 1 (hard). "
    "A branch learns it during training, or it is 1 minus the highest class probability.",
    "Holm": "A correction for asking many questions at once, such as one for each class. After it, 5 % is the chance "
    "that any of them is answered wrongly.",
    "implied": "Follows without a measurement: two files with equal bytes run at the same speed. "
    "Only an engine whose origin is known can have it.",
    "inconclusive": "The measurement was not enough to decide. "
    "The report says what would decide it, and a gate on it fails.",
    "interval": "The range of values that the measurement supports, at the stated confidence. "
    "A wide one means: measure more images, or for longer.",
    "level 0": "Certificate: the shipped ONNX file and the plain network's have the same digest in canonical form. "
    "The same for their TensorRT-RTX engines is `level0-engines`.",
    "level 1": "Certificate: both networks have as many parameters, multiply-adds, operators, inputs and outputs. "
    "If they differ, this names the difference.",
    "level 2": "Certificate: both networks are timed in turns. It is needed only where level 0 does not hold.",
    "margin": "The largest mIoU drop that still counts as kept, in points. Its default is 0.1 for FP32.",
    "margin output": "A second output: the difference between the two highest class probabilities of each pixel. "
    "A low value means that the pixel could easily change its class.",
    "mIoU": "The mean over the classes of intersection over union, in percent. Classes that are neither labelled nor "
    "predicted do not count.",
    "noise floor": "How large a difference this machine shows when there is none, from the A/A test. "
    "A smaller overhead cannot be seen on it.",
    "non-inferiority": "The question whether the engine is worse by more than the margin, rather than whether it is "
    "exactly equal. It holds if the lower end of the interval is above minus the margin.",
    "parity": "How close the engine's masks are to the reference's masks, on the same test images. "
    "It is measured by running the engine.",
    "plain network": "The same network, built in a new process without any branch, with the same weights. "
    "The certificate compares the shipped file with it.",
    "points": "Percentage points. From 62.4 % to 62.1 % mIoU is a drop of 0.3 points.",
    "positive control": "A network with the branch left in, timed like the shipped one. If its cost cannot be seen, "
    "the test could not have seen a branch in the shipped file either.",
    "reference": "The trained network in PyTorch in FP32, whose masks are stored in the bundle. For an ONNX file "
    "without a checkpoint it is that file in onnxruntime in FP32.",
    "stable pixel": "A pixel whose two highest class scores are further apart than twice the largest rounding error. "
    "A stable pixel that changes its class is a fault, not rounding.",
    "unseen": "The share of all such images that could have a problem that none of the test images shows. "
    "For n images it is at most 1 - 0.05^(1/n), with 95 % confidence.",
}

_BY_LOWER: Final = {word.lower(): word for word in GLOSSARY}
_WORDS: Final = re.compile(
    rf"(?<![\w-])((?:{'|'.join(re.escape(word) for word in sorted(GLOSSARY, key=len, reverse=True))})s?)(?![\w-])",
    re.IGNORECASE,
)


def explained(text: str) -> Markup:
    """The text with every word of the glossary in it, at its first place, shown with its meaning as a tooltip."""
    parts: list[str] = []
    seen: set[str] = set()
    for piece in _WORDS.split(text):
        word = _BY_LOWER.get(piece.lower().removesuffix("s")) or _BY_LOWER.get(piece.lower())
        parts.append(tag("abbr", piece, title=GLOSSARY[word]) if word and word not in seen else piece)
        seen |= {word} if word else set()
    return join_markup(parts)


def glossary_markdown() -> str:
    """The page of the glossary, a heading for each word."""
    head = "# Glossary\n\nThe words of reports and documents. Reports show these texts where you point at a word.\n"
    return head + "".join(f"\n## {word}\n{text}\n" for word, text in GLOSSARY.items())
