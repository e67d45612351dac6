"""What a sample of images cannot show: how often something can happen that happened in none of them."""

import math

ERROR = 0.05
MAX_UNSEEN = 10.0  # percent; 29 images


def unseen_share(images: int) -> float:
    """The most percent of all such images, with 95 % confidence, that can be of a kind which none of these is.

    1 - 0.05^(1/n), the exact binomial bound for no case among n (Clopper and Pearson 1934).
    """
    return 100 * (1 - ERROR ** (1 / images)) if images else 100.0


def images_for(max_unseen: float) -> int:
    """The fewest images whose `unseen_share` is at most that many percent; at least 1."""
    if max_unseen >= 100 * (1 - ERROR):
        return 1
    needed = math.ceil(math.log(ERROR) / math.log1p(-max_unseen / 100))
    # the logarithms may round either way
    return next(count for count in range(max(needed - 1, 1), needed + 2) if unseen_share(count) <= max_unseen)
