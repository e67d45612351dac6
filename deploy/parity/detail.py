"""A parity verdict in words: what these images show, what follows for images like them, and what stays unseen."""

from collections.abc import Sequence

from hardedge.statistics.bootstrap import FEWEST_IMAGES
from hardedge.statistics.non_inferiority import MiouDifference, missing_images
from hardedge.statistics.signed import signed_text
from hardedge.statistics.unseen import images_for, unseen_share


def parity_detail(
    found: MiouDifference, margin: float, unequal: int, max_unseen: float, classes: Sequence[str] = ()
) -> str:
    """The fact about these images (`unequal` of them have another mask) and the inference about images like them."""
    said = [_fact(found.images, unequal), _inference(found, margin, max_unseen), unseen_text(found.images)]
    if found.worst and classes:
        name, worst = classes[found.worst.index], found.worst
        change, low = signed_text(worst.difference, 2), signed_text(worst.low, 2)
        said.append(f"lowest class: {name} {change} points, not below {low} (95 %)")
    return "; ".join(said)


def _fact(images: int, unequal: int) -> str:
    if not unequal:
        return f"no pixel differs on these {images} images"
    return f"{unequal} of these {images} images differ{'s' if unequal == 1 else ''}"


def unseen_text(images: int) -> str:
    """What no sample of that size can exclude."""
    return f"at most {unseen_share(images):.1f} % of such images can be of a kind that none of these is (95 %)"


def _inference(found: MiouDifference, margin: float, max_unseen: float) -> str:
    drop = f"a drop of more than {margin:g} points on images like these"
    if found.status == "pass":
        return f"{drop} is excluded (95 %)"
    if found.status == "fail":
        return f"{drop} is shown (95 %)"
    needed = images_to_decide(found, margin, max_unseen)
    if needed is None:
        return f"{drop} is not decided: it lies on that margin, so no number of images would"
    if found.interval.low > -margin:
        return f"{drop} is not decided: {too_few(found.images, found.differing > 0, max_unseen)}"
    return f"{drop} is not decided: about {needed} like them would"


def too_few(images: int, differing: bool, max_unseen: float) -> str:
    """Why so many images pass nothing, and how many more would; empty where they are enough."""
    missing = missing_images(images, differing, max_unseen)
    if not missing:
        return ""
    more = f"{missing} more image{'s' if missing > 1 else ''} would"
    if images_for(max_unseen) > images:
        return f"{more}, as at most {max_unseen:g} % may stay unseen (--max-unseen)"
    return f"{more}, as masks that differ need {images + missing}"


def images_to_decide(found: MiouDifference, margin: float, max_unseen: float) -> int | None:
    """Images at which the interval, shrinking with their root, would clear the margin; None on the margin itself."""
    images, distance = found.images, found.difference + margin
    if found.interval.low > -margin:
        return images + max(missing_images(images, found.differing > 0, max_unseen), 1)
    if abs(distance) < margin / 100:
        return None
    reach = found.difference - found.interval.low if distance > 0 else found.interval.high - found.difference
    least = images + missing_images(images, True, max_unseen) if distance > 0 else FEWEST_IMAGES
    return max(images + 1, least, round(images * (reach / distance) ** 2))
