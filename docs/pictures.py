"""Draws the pictures of docs/img, and pictures.json with the digests of their sources: python docs/pictures.py.

A test compares the digests, not the pixels.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image, ImageDraw, ImageFont

from hardedge.contracts import Bundle, Task, load
from hardedge.data.palette import palette_image
from hardedge.data.streets.scene import draw_scene
from hardedge.deploy.acceptance.stage import BUNDLE
from hardedge.deploy.report.pictures import ramp_colors
from hardedge.graphs.probes import logits_form
from hardedge.train.losses import parse_loss

HERE = Path(__file__).parent
PICTURES = HERE / "img"
SCENE = (0, 112)  # a seed and an index that the small network did not train on
LOSSES = ("ce", "focal", "ohem", "hardness", "recall", "pat", "lmp", "cpg", "dice", "lovasz", "ssl")
PAGE, INK = (255, 255, 255), (30, 34, 40)
PANEL, GAP, LINE = (384, 192), 8, 18


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, 3] and label [H, W] at half their size, as the small network of `acceptance` knows them."""
    image_HWC, label_HW = draw_scene(*SCENE)
    quarters = [image_HWC[row::2, column::2].astype(np.uint16) for row in (0, 1) for column in (0, 1)]
    return (np.sum(quarters, axis=0) // 4).astype(np.uint8), label_HW[::2, ::2]


def logits_of(image_HWC: np.ndarray) -> torch.Tensor:
    """The small network's logits float32 [1, C, H, W], at the image's size."""
    session = onnxruntime.InferenceSession(logits_form(onnx.load(BUNDLE / "model.onnx")).SerializeToString())
    logits_BCHW = session.run(None, {session.get_inputs()[0].name: image_HWC[None]})[1]
    size = image_HWC.shape[:2]
    return torch.nn.functional.interpolate(torch.from_numpy(logits_BCHW), size, mode="bilinear", align_corners=False)


def gradient_map(name: str, logits_BCHW: torch.Tensor, label_HW: np.ndarray) -> np.ndarray:
    """How strongly a loss pulls at each pixel's logits: the sum of its gradient's magnitudes, uint8 [H, W].

    The largest 0.5 % are white. HL's weights are static here: 1 minus the highest probability.
    """
    leaf_BCHW = logits_BCHW.clone().requires_grad_()
    hardness_B1HW = 1 - logits_BCHW.softmax(1).amax(1, keepdim=True)
    given = {"logits": leaf_BCHW, "hardness": torch.logit(hardness_B1HW.clamp(1e-4, 1 - 1e-4))}
    loss = parse_loss(name)
    loss(given, torch.from_numpy(label_HW.astype(np.int64))[None]).backward()
    pull_HW = leaf_BCHW.grad[0].abs().sum(0).numpy()  # type: ignore[index]
    return (255 * (pull_HW / np.quantile(pull_HW, 0.995)).clip(0, 1) ** 0.5).astype(np.uint8)


def losses_picture() -> Image.Image:
    """The scene, its labels, what the network finds, and where each loss pulls."""
    image_HWC, label_HW = scene()
    task: Task = load(Bundle, BUNDLE).task
    logits_BCHW = logits_of(image_HWC)
    mask_HW = logits_BCHW.argmax(1)[0].numpy().astype(np.uint8)
    shown = [
        ("image", Image.fromarray(image_HWC)),
        ("labels", palette_image(label_HW, task).convert("RGB")),
        ("prediction", palette_image(mask_HW, task).convert("RGB")),
    ]
    colors = ramp_colors()
    shown += [(name, Image.fromarray(colors[gradient_map(name, logits_BCHW, label_HW)])) for name in LOSSES]
    return sheet(shown, columns=3)


def hardness_picture() -> Image.Image:
    """The scene, where the network is wrong, and how hard it finds each pixel."""
    image_HWC, label_HW = scene()
    logits_BCHW = logits_of(image_HWC)
    wrong_HW = (logits_BCHW.argmax(1)[0].numpy() != label_HW) & (label_HW != 255)
    hardness_HW = 1 - logits_BCHW.softmax(1).amax(1)[0].numpy()
    errors_HWC = np.where(wrong_HW[..., None], (255, 255, 255), image_HWC // 3).astype(np.uint8)
    shown = [
        ("image", Image.fromarray(image_HWC)),
        ("wrong pixels, white", Image.fromarray(errors_HWC)),
        ("hardness: dark is easy", Image.fromarray(ramp_colors()[(255 * hardness_HW).astype(np.uint8)])),
    ]
    return sheet(shown, columns=3)


def sheet(shown: list[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """Panels under their names, in rows."""
    rows = -(-len(shown) // columns)
    wide, high = PANEL[0] + GAP, PANEL[1] + LINE + GAP
    found = Image.new("RGB", (columns * wide - GAP, rows * high - GAP), PAGE)
    draw = ImageDraw.Draw(found)
    for number, (name, image) in enumerate(shown):
        left, top = number % columns * wide, number // columns * high
        draw.text((left, top), name, INK, ImageFont.load_default(14))
        found.paste(image.resize(PANEL, Image.Resampling.NEAREST), (left, top + LINE))
    return found


DRAWN: dict[str, Callable[[], Image.Image]] = {"losses.webp": losses_picture, "hardness.webp": hardness_picture}


def sources() -> dict[str, str]:
    """The sha256 of what the pictures are made from: the scene, the network's file, the losses by name."""
    image_HWC, label_HW = scene()
    parts = {
        "scene": image_HWC.tobytes() + label_HW.tobytes(),
        "network": (BUNDLE / "model.onnx").read_bytes(),
        "losses": " ".join(str(parse_loss(name)) for name in LOSSES).encode(),
    }
    return {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, draw in DRAWN.items():
        draw().save(PICTURES / name, quality=82, method=6)
    (PICTURES / "pictures.json").write_text(json.dumps(sources(), indent=1) + "\n")


if __name__ == "__main__":
    main()
