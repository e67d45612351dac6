"""Reading, computing and writing side by side: bounded queues of threads between them.

Generators that are put together: `write_behind(compute(prefetch(...)))`.
What is computed stays in the thread that asks.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

A = TypeVar("A")
B = TypeVar("B")

AHEAD: Final = 4  # finished and waiting, for each thread: enough to even out slow ones, few enough for large images
_END: Final = object()


def prefetch(items: Iterable[A], read: Callable[[A], B], threads: int) -> Iterator[B]:
    """`read` of each item, in order, up to AHEAD for each thread before it is asked for.

    What `read` raises is raised where its item would have come; then, and when nobody asks any more, nothing further
    is read.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read")
    ahead: deque[Future[B]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(read, item))
            if len(ahead) > AHEAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch_in_one_thread(items: Iterator[B]) -> Iterator[B]:
    """The items, in order, drawn by one thread before they are asked for: for frames, which come one after another."""
    drawn = prefetch(itertools.repeat(items), lambda source: next(source, _END), 1)
    try:
        yield from itertools.takewhile(lambda item: item is not _END, drawn)
    finally:
        drawn.close()  # type: ignore[attr-defined]  # a generator, whatever its type says


def write_behind(results: Iterable[A], write: Callable[[A], None], threads: int) -> Iterator[A]:
    """Each result once it was written, in order; up to AHEAD for each thread are being written meanwhile.

    The first failure of `write` is raised. However it ends, what `results` had given is written first.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="write")
    behind: deque[tuple[A, Future[None]]] = deque()
    try:
        for result in results:
            behind.append((result, pool.submit(write, result)))
            if len(behind) > AHEAD * threads:
                yield _result_of(behind)
        while behind:
            yield _result_of(behind)
    finally:
        pool.shutdown()


def _result_of(behind: deque[tuple[A, Future[None]]]) -> A:
    result, future = behind.popleft()
    future.result()
    return result
