"""In which order an epoch goes through the training images: known from the seed, without a list of all of them."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

SHUFFLED_TOGETHER: Final = 16  # shards


def mix_seed(*key: int | str) -> int:
    """A 63-bit seed from the key's parts, well mixed."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1


class EpochOrder:
    """Which image comes at which place of an epoch; each once.

    `blocks` are how many images lie together: all of a folder, or those of each shard. The blocks are shuffled, then
    the images of each 16 that follow each other. So a folder's epoch is one permutation, and of shards 16 are open at
    once. Nothing is drawn by others: any number of processes and workers, begun anywhere, sees one sequence.
    """

    def __init__(self, blocks: Sequence[int], seed: int) -> None:
        self.blocks, self.seed = tuple(blocks), seed
        self.starts = (0, *accumulate(self.blocks))
        self._epoch: tuple[int, list[int], list[int]] | None = None
        self._window: tuple[tuple[int, int], Tensor] | None = None

    def __len__(self) -> int:
        return self.starts[-1]

    def place(self, epoch: int, turn: int) -> int:
        """The place in the split of the image whose turn it is in the epoch, both counted from 0."""
        shuffled, ends = self._shuffled(epoch)
        first = bisect_right(ends, turn) // SHUFFLED_TOGETHER * SHUFFLED_TOGETHER
        begin = ends[first - 1] if first else 0
        last = min(first + SHUFFLED_TOGETHER, len(ends))
        within = begin + int(self._permutation(epoch, first, ends[last - 1] - begin)[turn - begin])
        number = bisect_right(ends, within)
        return self.starts[shuffled[number]] + within - (ends[number - 1] if number else 0)

    def _shuffled(self, epoch: int) -> tuple[list[int], list[int]]:
        """The epoch's order of the blocks, and after how many images each of them ends."""
        if self._epoch is None or self._epoch[0] != epoch:
            order = list(range(len(self.blocks)))
            if len(order) > SHUFFLED_TOGETHER:
                order = torch.randperm(len(order), generator=_generator(self.seed, "blocks", epoch)).tolist()
            self._epoch = epoch, order, list(accumulate(self.blocks[block] for block in order))
        return self._epoch[1:]

    def _permutation(self, epoch: int, first: int, length: int) -> Tensor:
        """The last one asked for is kept, as drawing it takes longer the more images there are."""
        if self._window is None or self._window[0] != (epoch, first):
            key = (epoch, first) if first else (epoch,)
            self._window = (epoch, first), torch.randperm(length, generator=_generator(self.seed, "epoch", *key))
        return self._window[1]


def _generator(*key: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(mix_seed(*key))
