"""One street scene: sky, ground and houses cast through the camera, then the objects from far to near."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from hardedge.data.decoding import Pixels
from hardedge.data.streets import objects as objects
from hardedge.data.streets.canvas import Bools, Canvas, Color, Ints, Random, StreetCamera, speckle
from hardedge.data.streets.objects import GREENS, GREYS, PAINTS, Kind

WIDTH, HEIGHT = 256, 128
IGNORED = 255
# drawn at twice the size: the picture is averaged, the labels are every second pixel
_SCALE = 2
_FAR = 6000

SKIES: tuple[Color, ...] = (
    (128, 166, 206),
    (170, 190, 210),
    (204, 206, 208),
    (164, 166, 170),
    (214, 186, 160),
    (126, 130, 140),
)
LINES: tuple[Color, ...] = ((208, 206, 200), (186, 186, 178))


@dataclass(frozen=True)
class Side:
    """One side outwards: people and posts from `kerb` to `walk`, trees to `front`, then houses or a park."""

    sign: int
    kerb: int
    walk: int
    front: int
    park: bool


Drawing = tuple[int, Callable[[], None]]


def draw_scene(seed: int, index: int) -> tuple[Pixels, Pixels]:
    """Scene `index` of a seed: image uint8 [H, W, 3] RGB and mask uint8 [H, W] of class indices.

    Integer arithmetic throughout: the same bytes on every machine.
    """
    dice = Random(seed, index)
    height, width = HEIGHT * _SCALE, WIDTH * _SCALE
    focal, above = dice.between(270, 330), dice.between(135, 190)
    center, horizon = width // 2 + dice.between(-130, 130), height * dice.between(34, 58) // 100
    canvas = Canvas((height, width), StreetCamera(focal=focal, height=above, center=center, horizon=horizon))
    left, right = _side(dice, -1), _side(dice, 1)
    _sky(canvas, dice)
    _ground(canvas, dice, left, right)
    things = [thing for side in (left, right) for thing in _beside(canvas, dice, side)]
    things += _traffic(canvas, dice, left, right)
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    _bonnet(canvas, dice)
    return _photograph(canvas, dice), canvas.labels[::_SCALE, ::_SCALE].copy()


def _side(dice: Random, sign: int) -> Side:
    kerb = dice.between(300, 680)
    walk = kerb + dice.between(180, 360)
    front = walk + (dice.between(150, 500) if dice.chance(65) else 0)
    return Side(sign, kerb, walk, front, park=dice.chance(25))


def _sky(canvas: Canvas, dice: Random) -> None:
    (height, width), horizon = canvas.shape, canvas.camera.horizon
    top = dice.shade(dice.pick(SKIES), 16)
    rows = np.arange(height, dtype=np.int32)[:, None]
    canvas.image[:] = np.asarray(top, np.int32)[:, None, None] + rows * 36 // horizon
    for _ in range(dice.between(0, 6)):
        center = dice.between(0, width), dice.between(0, horizon)
        cloud = canvas.ellipse(center, (dice.between(30, 110), dice.between(6, 22)), ragged=30, seed=dice.roll())
        canvas.paint(cloud, dice.shade((212, 212, 214), 14))
    for column in range(0, width, 32):
        rise, forest = dice.between(4, 24), dice.chance(60)
        color = dice.shade(dice.pick(GREENS if forest else PAINTS[:7]), 12)
        points = [(column, horizon - rise), (column + 31, horizon - rise)]
        block = canvas.polygon([*points, (column + 31, horizon + 2), (column, horizon + 2)])
        grain = speckle(dice.roll(), block.rows // 3, block.columns // 3, 14)
        canvas.paint(block, color, Kind.TREE if forest else Kind.BUILDING, grain)


def _ground(canvas: Canvas, dice: Random, left: Side, right: Side) -> None:
    x, z = canvas.camera.ground(canvas.shape)
    off, leftward = abs(x), x < 0
    inward = off - np.where(leftward, left.kerb, right.kerb)
    paved = inward >= 0
    label = np.where(paved, Kind.PAVEMENT, Kind.ROAD)
    painted = _road_paint(dice, x, z, (right.kerb - left.kerb) // 2) & (label == Kind.ROAD)
    tones = ((GREYS, 12), (GREYS, 16), (LINES, 10))
    materials = np.asarray([dice.shade(dice.pick(colors), spread) for colors, spread in tones], np.int32)
    material = np.where(painted, 2, label - Kind.ROAD)
    wear = speckle(dice.roll(), x // 12, z // 24, 6) + speckle(dice.roll(), x // 110, z // 260, 9)
    grain = np.where(paved, _slabs(dice, x, z, inward), wear)
    below = slice(canvas.camera.horizon + 1, None)
    canvas.image[:, below] = materials.T[:, material] + grain
    canvas.labels[below] = label
    if dice.chance(60):
        reach = dice.between(200, 900)
        shaded = (x < reach - left.front) if dice.chance(50) else (x > right.front - reach)
        np.copyto(canvas.image[:, below], canvas.image[:, below] * 66 // 100, where=shaded)


def _road_paint(dice: Random, x: Ints, z: Ints, middle: int) -> Bools:
    paint = (abs(x - middle) < 9) & ((z + dice.between(0, 600)) % 600 < 320)
    crossing, stripe = dice.between(600, 1600), dice.between(40, 60)
    if dice.chance(35):
        paint |= (z >= crossing) & (z < crossing + 320) & (x % (2 * stripe) < stripe)
    return paint


def _slabs(dice: Random, x: Ints, z: Ints, inward: Ints) -> Ints:
    slab = dice.between(45, 75)
    joint, kerb = (x % slab < 7) | (z % slab < 9), inward < 16
    return speckle(dice.roll(), x // slab, z // slab, 12) - 40 * joint.astype(np.int32) + 38 * kerb.astype(np.int32)


def _beside(canvas: Canvas, dice: Random, side: Side) -> list[Drawing]:
    things = _park(canvas, dice, side) if side.park else _houses(canvas, dice, side)
    wide = side.front - side.walk > 120
    for _ in range(dice.between(1, 4) if wide else dice.between(0, 1)):
        x, z = side.sign * (side.walk + 80 if wide else side.walk - 30), dice.between(700, 3600)
        things.append((z, partial(objects.tree, canvas, dice.fork(), x, z)))
    for _ in range(dice.pick((0, 0, 1, 1, 2))):
        x, z = side.sign * dice.between(side.kerb + 40, side.walk - 30), dice.between(650, 1250)
        things.append((z, partial(objects.person, canvas, dice.fork(), x, z)))
    for chance, thing in ((14, objects.lamp), (80, objects.draw_sign)):
        if dice.chance(chance):
            x, z = side.sign * (side.kerb + 35), dice.between(700, 1500)
            things.append((z, partial(thing, canvas, dice.fork(), x, z)))
    return things


def _houses(canvas: Canvas, dice: Random, side: Side) -> list[Drawing]:
    things: list[Drawing] = []
    z, detached = dice.between(120, 500), True
    while z < _FAR:
        end = z + dice.between(700, 2200)
        block = partial(objects.draw_building, canvas, dice.fork(), side.sign * side.front, (z, end), detached)
        things.append((end, block))
        detached = dice.chance(45)
        z = end + (dice.between(300, 1100) if detached else 0)
    return things


def _park(canvas: Canvas, dice: Random, side: Side) -> list[Drawing]:
    places = [(side.walk + dice.between(80, 1800), dice.between(900, 5000)) for _ in range(dice.between(8, 14))]
    return [(z, partial(objects.tree, canvas, dice.fork(), side.sign * x, z)) for x, z in places]


def _traffic(canvas: Canvas, dice: Random, left: Side, right: Side) -> list[Drawing]:
    middle = (right.kerb - left.kerb) // 2
    lanes = [(middle + right.kerb) // 2, (middle - left.kerb) // 2, right.kerb - 100, 100 - left.kerb]
    things: list[Drawing] = []
    for lane in lanes:
        z = dice.between(550, 1500)
        while dice.chance(48) and z < 5000:
            x = lane + dice.between(-20, 20)
            things.append((z, partial(objects.car, canvas, dice.fork(), x, z)))
            z += dice.between(650, 1600)
    if dice.chance(40):
        x, z = dice.between(-left.kerb, right.kerb), dice.between(800, 1500)
        things.append((z, partial(objects.person, canvas, dice.fork(), x, z)))
    return things


def _bonnet(canvas: Canvas, dice: Random) -> None:
    height, width = canvas.shape
    shape = (width // 2 + dice.between(-20, 20), height + 14), (width * 2 // 5, dice.between(22, 30))
    canvas.paint(canvas.ellipse(*shape), dice.shade(dice.pick(PAINTS), 20), IGNORED)


def _photograph(canvas: Canvas, dice: Random) -> Pixels:
    """Averages the drawing down, lights it, and adds the camera's noise."""
    drawn = canvas.image.clip(0, 255)
    image = sum(drawn[:, row::_SCALE, column::_SCALE] for row in range(_SCALE) for column in range(_SCALE))
    gain = dice.between(60, 116)
    tint = np.asarray([gain * dice.between(88, 112) for _ in range(3)], np.int32)[:, None, None]
    image = image * tint // (_SCALE * _SCALE * 10_000) + dice.between(-6, 14)
    rows, columns = np.arange(HEIGHT, dtype=np.int32)[:, None], np.arange(WIDTH, dtype=np.int32)[None]
    noise = [speckle(dice.roll(), rows, columns, 7) for _ in range(3)]
    shot: Pixels = (image + np.stack(noise)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
    return shot
