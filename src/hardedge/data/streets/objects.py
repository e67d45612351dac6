"""The things in a street scene, each drawn onto a canvas at its place in the world (lengths in centimetres)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from hardedge.data.streets.canvas import Canvas, Color, Point, Random, Region, speckle


class Kind(IntEnum):
    """The class indices of the street scenes."""

    SKY = 0
    BUILDING = 1
    TREE = 2
    ROAD = 3
    PAVEMENT = 4
    CAR = 5
    PERSON = 6
    POLE = 7
    SIGN = 8


# one palette for walls, cars, clothes and signs: colour alone tells none of them apart
PAINTS: tuple[Color, ...] = (
    (216, 214, 208),
    (168, 168, 164),
    (112, 114, 118),
    (58, 60, 66),
    (166, 62, 50),
    (132, 82, 62),
    (196, 172, 132),
    (62, 88, 142),
    (196, 160, 62),
    (74, 112, 92),
)
# crowns in summer and in autumn
GREENS: tuple[Color, ...] = ((82, 106, 56), (98, 118, 64), (66, 88, 60), (136, 116, 66), (142, 100, 62), (116, 112, 92))
# road and pavement
GREYS: tuple[Color, ...] = ((96, 96, 98), (114, 110, 106), (130, 128, 124), (140, 120, 104), (120, 124, 112))
SKINS: tuple[Color, ...] = ((222, 178, 148), (176, 128, 96), (112, 78, 58))
DARK: Color = (34, 36, 40)
GLASS: Color = (62, 74, 88)
# face, rim, symbol
SIGNS: tuple[tuple[Color, Color, Color], ...] = (
    (PAINTS[0], (186, 44, 40), DARK),
    ((46, 82, 168), PAINTS[0], PAINTS[0]),
    ((222, 178, 52), DARK, DARK),
    ((186, 44, 40), PAINTS[0], PAINTS[0]),
)
POSTS: tuple[Color, ...] = ((204, 204, 200), (164, 166, 166), (48, 50, 56))
# canvas pixels: half as many in the written mask
MIN_WIDTH = 10


def darker(color: Color, percent: int) -> Color:
    red, green, blue = (channel * percent // 100 for channel in color)
    return red, green, blue


def upright(canvas: Canvas, x: tuple[int, int], y: tuple[int, int], z: int) -> list[Point]:
    """A rectangle that faces the camera, as four pixels."""
    at = canvas.camera.at
    return [at(x[0], y[0], z), at(x[1], y[0], z), at(x[1], y[1], z), at(x[0], y[1], z)]


def sideways(canvas: Canvas, x: int, y: tuple[int, int], z: tuple[int, int]) -> list[Point]:
    """A rectangle along the street, as four pixels."""
    at = canvas.camera.at
    return [at(x, y[0], z[0]), at(x, y[0], z[1]), at(x, y[1], z[1]), at(x, y[1], z[0])]


def ground_shadow(canvas: Canvas, place: Point, radius: Point) -> None:
    """A shadow on the ground round a place (x, z)."""
    x, z = place
    center = canvas.camera.at(x, 0, z)
    depth = max(canvas.camera.at(x, 0, max(z - radius[1], 100))[1] - center[1], 1)
    canvas.darken(canvas.ellipse(center, (canvas.camera.pixels(radius[0], z), depth)), 58)


def draw_building(canvas: Canvas, dice: Random, x: int, z: tuple[int, int], detached: bool) -> None:
    """A block of houses whose front runs along the street at x; its near end shows where it is detached."""
    camera, lit = canvas.camera, 100 if x > 0 else 80
    height, storey, bay = dice.between(600, 1700), dice.between(260, 340), dice.between(180, 320)
    wall = dice.shade(dice.pick(PAINTS), 20)
    pane = dice.shade(dice.pick((GLASS, DARK, PAINTS[0])), 15)
    shop = dice.shade(dice.pick(PAINTS), 20)
    if detached:
        _end_wall(canvas, x, height, z[0], darker(wall, 180 - lit))
    front = canvas.polygon(sideways(canvas, x, (0, height), z))
    away = np.maximum(np.abs(front.columns - camera.center), 1)
    along = camera.focal * abs(x) // away
    up = camera.height - (front.rows - camera.horizon) * abs(x) // away
    in_bay, in_storey = along % bay * 100 // bay, up % storey * 100 // storey
    window = (abs(in_bay - 50) < 24) & (in_storey > 30) & (in_storey < 80) & (up > storey)
    shop_front = (up < storey - 40) & (up > 40) & (abs(in_bay - 50) < 40)
    band = (up >= storey - 40) & (up < storey)
    materials = np.asarray([darker(color, lit) for color in (wall, pane, GLASS, shop)], np.int32).T
    material = np.where(window, 1, 0) + np.where(shop_front, 2, 0) + np.where(band, 3, 0)
    courses = np.where(up % 30 < 8, -12, 0) + speckle(dice.roll(), along // 25, up // 25, 9)
    canvas.paint(front, materials[:, material], Kind.BUILDING, courses)


def _end_wall(canvas: Canvas, x: int, height: int, z: int, wall: Color) -> None:
    outer = x + (2500 if x > 0 else -2500)
    region = canvas.polygon(upright(canvas, (x, outer), (0, height), z))
    up = (region.rows - canvas.camera.horizon) * z // canvas.camera.focal
    courses = np.where(up % 30 < 8, -12, 0)
    canvas.paint(region, wall, Kind.BUILDING, courses)


def tree(canvas: Canvas, dice: Random, x: int, z: int) -> None:
    """A trunk and a crown of torn blobs; autumn is allowed."""
    leaf, top, spread = dice.shade(dice.pick(GREENS), 14), dice.between(420, 800), dice.between(110, 220)
    ground_shadow(canvas, (x, z), (spread, 60))
    trunk = dice.between(14, 26)
    bark = canvas.polygon(upright(canvas, (x - trunk, x + trunk), (0, top * 6 // 10), z))
    canvas.paint(bark, dice.shade((86, 66, 50), 14), Kind.TREE, speckle(dice.roll(), bark.rows // 3, bark.columns, 12))
    for _ in range(dice.between(4, 6)):
        center = canvas.camera.at(x + dice.between(-spread // 2, spread // 2), top - dice.between(60, 260), z)
        size = canvas.camera.pixels(dice.between(spread // 2, spread), z)
        blob = canvas.ellipse(center, (size, size * 9 // 10), ragged=22, seed=dice.roll())
        light = (center[1] - blob.rows) * 30 // max(size, 1)
        canvas.paint(blob, leaf, Kind.TREE, speckle(dice.roll(), blob.rows // 3, blob.columns // 3, 32) + light)


def car(canvas: Canvas, dice: Random, x: int, z: int) -> None:
    """A car or a van seen from the front or the back, with the side that faces the camera."""
    van = dice.chance(20)
    half, belt, top, length = (100, 110, 225, 520) if van else (88, 85, 145, 420)
    paint, lamp = dice.shade(dice.pick(PAINTS), 20), dice.pick(((190, 50, 44), (226, 220, 196)))
    ground_shadow(canvas, (x, z), (half + 40, 120))
    _car_side(canvas, x, half, (belt, top), (z, z + length), darker(paint, 78))
    for tyre in (x - half, x + half - 26):
        canvas.paint(canvas.polygon(upright(canvas, (tyre, tyre + 26), (0, 40), z)), DARK, Kind.CAR)
    canvas.paint(canvas.polygon(upright(canvas, (x - half, x + half), (22, belt), z)), paint, Kind.CAR)
    inset = 4 if van else 20
    for margin, color in ((0, darker(paint, 92)), (9, GLASS)):
        low, high = upright(canvas, (x - half + margin, x + half - margin), (belt, belt + 1), z)[:2]
        roof = upright(canvas, (x - half + inset + margin, x + half - inset - margin), (belt, top - margin), z)[2:]
        canvas.paint(canvas.polygon([low, high, *roof]), color, Kind.CAR)
    for left in (x - half + 6, x + half - 36):
        canvas.paint(canvas.polygon(upright(canvas, (left, left + 30), (belt - 28, belt - 12), z)), lamp, Kind.CAR)
    canvas.paint(canvas.polygon(upright(canvas, (x - 26, x + 26), (34, 46), z)), PAINTS[0], Kind.CAR)


def _car_side(canvas: Canvas, x: int, half: int, heights: Point, z: tuple[int, int], paint: Color) -> None:
    if abs(x) <= half:
        return
    belt, top = heights
    flank = x - half if x > 0 else x + half
    near, far = z
    for start in (near + 50, far - 110):
        canvas.paint(canvas.polygon(sideways(canvas, flank, (0, 60), (start, start + 64))), DARK, Kind.CAR)
    canvas.paint(canvas.polygon(sideways(canvas, flank, (24, belt), z)), paint, Kind.CAR)
    inner = flank + (20 if x > 0 else -20)
    for margin, color in ((0, paint), (10, GLASS)):
        low = sideways(canvas, flank, (belt, top), (near + margin, far - margin))[:2]
        roof = sideways(canvas, inner, (belt, top - margin), (near + margin, far - 90 - margin))[2:]
        canvas.paint(canvas.polygon([*low, *roof]), color, Kind.CAR)


def person(canvas: Canvas, dice: Random, x: int, z: int) -> None:
    """Someone who stands or walks: legs, coat, arms, head."""
    tall, stride = dice.between(158, 186), dice.between(4, 16)
    coat, trousers = dice.shade(dice.pick(PAINTS), 20), dice.shade(dice.pick(PAINTS), 20)
    ground_shadow(canvas, (x, z), (34, 24))
    hip, shoulder = tall * 48 // 100, tall * 83 // 100
    for foot in (-stride - 8, stride + 8):
        legs = [canvas.camera.at(x + foot - 9, 0, z), canvas.camera.at(x + foot + 9, 0, z)]
        waist = [canvas.camera.at(x + 14, hip, z), canvas.camera.at(x - 14, hip, z)]
        canvas.paint(canvas.polygon([*legs, *waist]), trousers, Kind.PERSON)
    for reach, color in ((30, darker(coat, 82)), (21, coat)):
        body = upright(canvas, (x - reach, x + reach), (hip - 8, shoulder - 6), z)[:2]
        neck = upright(canvas, (x - reach + 7, x + reach - 7), (hip, shoulder), z)[2:]
        canvas.paint(canvas.polygon([*body, *neck]), color, Kind.PERSON)
    size = canvas.camera.pixels(13, z)
    head = canvas.ellipse(canvas.camera.at(x, tall - 14, z), (size, canvas.camera.pixels(15, z)))
    canvas.paint(head, dice.pick(SKINS), Kind.PERSON)
    hair = canvas.ellipse(canvas.camera.at(x, tall - 6, z), (size, canvas.camera.pixels(8, z)))
    canvas.paint(hair, dice.pick((DARK, (92, 66, 44), (160, 150, 140))), Kind.PERSON)


def pole(canvas: Canvas, dice: Random, x: int, z: int, height: int) -> None:
    """A post of at least MIN_WIDTH canvas pixels."""
    half = max(canvas.camera.pixels(7, z), MIN_WIDTH // 2)
    column, foot = canvas.camera.at(x, 0, z)
    ground_shadow(canvas, (x, z), (30, 14))
    post = canvas.polygon(_box(column - half, canvas.camera.at(x, height, z)[1], column + half - 1, foot))
    canvas.paint(post, dice.shade(dice.pick(POSTS), 12), Kind.POLE, (column - post.columns) * 18 // half)


def lamp(canvas: Canvas, dice: Random, x: int, z: int) -> None:
    """A street lamp: a post with a head that reaches over the road."""
    height = dice.between(430, 560)
    pole(canvas, dice, x, z, height)
    reach = -130 if x > 0 else 130
    (start, top), (end, _) = canvas.camera.at(x, height, z), canvas.camera.at(x + reach, height, z)
    arm = canvas.polygon(_box(min(start, end), top - MIN_WIDTH // 2, max(start, end), top + MIN_WIDTH // 2 - 1))
    canvas.paint(arm, dice.shade(PAINTS[1], 20), Kind.POLE)


def draw_sign(canvas: Canvas, dice: Random, x: int, z: int) -> None:
    """A traffic sign on its post: a disc, a triangle or a square with a rim and a symbol."""
    height, size = dice.between(230, 280), dice.between(48, 60)
    pole(canvas, dice, x, z, height)
    face, rim, mark = dice.pick(SIGNS)
    shape = dice.pick(("disc", "triangle", "square"))
    center, radius = canvas.camera.at(x, height, z), max(canvas.camera.pixels(size, z), MIN_WIDTH)
    for scale, color in ((100, rim), (74, face)):
        canvas.paint(_sign_face(canvas, shape, center, radius * scale // 100), dice.shade(color, 12), Kind.SIGN)
    third = radius // 4
    symbol = canvas.polygon(_box(center[0] - third, center[1] - third, center[0] + third, center[1] + third))
    canvas.paint(symbol, mark, Kind.SIGN)


def _sign_face(canvas: Canvas, shape: str, center: Point, radius: int) -> Region:
    (x, y), half = center, radius * 9 // 10
    if shape == "disc":
        return canvas.ellipse(center, (radius, radius))
    if shape == "square":
        return canvas.polygon(_box(x - half, y - half, x + half, y + half))
    return canvas.polygon([(x - radius, y + radius * 8 // 10), (x + radius, y + radius * 8 // 10), (x, y - radius)])


def _box(left: int, top: int, right: int, bottom: int) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
