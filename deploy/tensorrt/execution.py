"""A loaded TensorRT engine at work: pinned buffers, CUDA graphs, two streams."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hardedge.contracts import Profile, find_profile, profiles_in_words
from hardedge.deploy.tensorrt.api import (
    Kernels,
    bind_tensor,
    engine_tensors,
    enqueue_run,
    new_context,
    output_shapes,
    profiles_of,
    set_shape,
)
from hardedge.deploy.tensorrt.cuda import Graph, Memory, Stream, cuda_runtime
from hardedge.errors import BadInput

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int, int]


class Execution:
    """Runs an engine of uint8 images to uint8 masks on this machine's GPU.

    Sizes of buffers and profiles are the engine's own word. A slot has a stream, a context, buffers and a CUDA graph;
    a stream of batches has two, so that one batch is copied while another is computed.
    """

    def __init__(self, engine: Any, builder: str, kernels: Kernels | None = None) -> None:
        self._engine: Any = engine
        self._kernels = kernels
        self._cuda = cuda_runtime()
        tensors = engine_tensors(engine, builder)
        if tensors.get("image") != (True, "UINT8") or tensors.get("mask") != (False, "UINT8"):
            found = {name: kind for name, (_, kind) in tensors.items()}
            raise BadInput(f"the engine has {found}, expected image and mask, both UINT8. Build it again.")
        self.profiles = tuple(
            Profile(min=least, opt=typical, max=most, name=str(place))
            for place, (least, typical, most) in enumerate(profiles_of(engine, "image"))
        )
        self._outputs = tuple(name for name, (is_input, _) in tensors.items() if not is_input)
        self._alone: Slot | None = None

    def masks(self, images_BHWC: Pixels) -> Pixels:
        """Masks uint8 [B, H, W] of images uint8 [B, H, W, 3]; raises BadInput for a size outside the profiles."""
        place, slot = self._place(images_BHWC), self._slot()
        slot.begin(images_BHWC, place)
        return slot.end()

    def stream(self, batches: Iterable[Pixels]) -> Iterator[Pixels]:
        """The masks of each batch in order: a batch is copied while the one before it is computed."""
        running: deque[Slot] = deque()
        slots: list[Slot] = []
        try:
            for number, images_BHWC in enumerate(batches):
                place = self._place(images_BHWC)
                if number < 2:
                    slots.append(self._new_slot())
                else:
                    yield running.popleft().end()
                slots[number % 2].begin(images_BHWC, place)
                running.append(slots[number % 2])
            while running:
                yield running.popleft().end()
        finally:
            for slot in slots:
                slot.close()

    def parts(self, images_BHWC: Pixels) -> tuple[float, float, float]:
        """The seconds of copying in, computing, and copying out, each waited for."""
        return self._slot().timed(images_BHWC, self._place(images_BHWC))

    @property
    def graph(self) -> bool:
        """Whether the last size that came twice runs as a CUDA graph."""
        return self._alone is not None and self._alone.graph is not None

    def close(self) -> None:
        """Frees the buffers and gives the engine up: its weights are freed with the last context of an open stream."""
        if self._alone is not None:
            self._alone.close()
            self._alone = None
        self._engine = self._kernels = None

    def _slot(self) -> Slot:
        if self._alone is None:
            self._alone = self._new_slot()
        return self._alone

    def _new_slot(self) -> Slot:
        return Slot(self._cuda, new_context(self._engine, self._kernels), self._outputs)

    def _place(self, images_BHWC: Pixels) -> int:
        batch, height, width = images_BHWC.shape[:3]
        place = find_profile(self.profiles, (batch, height, width))
        if place is None:
            raise BadInput(
                f"images of {batch}x{height}x{width} fit no profile of the engine: {profiles_in_words(self.profiles)}. "
                "Resize them, or export the bundle with this size."
            )
        return place


class Slot:
    """One batch at a time: a stream, a context, its buffers, and the graph of the last size that came twice."""

    def __init__(self, cuda: Any, context: Any, outputs: Sequence[str]) -> None:
        self._context = context
        self._stream = Stream(cuda)
        # only image and mask are copied; what else comes out has a place to be written to
        names = ("image", *outputs)
        self._memory = {name: Memory(cuda, pinned=name in ("image", "mask")) for name in names}
        self._shape: tuple[int, ...] = ()
        self._place: int | None = None
        self._runs = 0
        self._capturable, self._busy = True, False
        self._mask: tuple[int, ...] = ()
        self.graph: Graph | None = None

    def begin(self, images_BHWC: Pixels, place: int) -> None:
        """Puts copying in, computing and copying out on the stream; returns before they are done."""
        self._take(images_BHWC, place)
        self._stream.copy_in(self._memory["image"], images_BHWC.size)
        self._compute()
        self._stream.copy_out(self._memory["mask"], int(np.prod(self._mask)))

    def end(self) -> Pixels:
        """Waits for what begin started; the masks are the caller's own."""
        self._wait()
        return self._memory["mask"].host(self._mask).copy()

    def timed(self, images_BHWC: Pixels, place: int) -> tuple[float, float, float]:
        """As begin and end, with a wait after each part; taking the images counts as copying in."""
        began = time.perf_counter()
        self._take(images_BHWC, place)
        self._stream.copy_in(self._memory["image"], images_BHWC.size)
        self._stream.wait()
        copied = time.perf_counter()
        self._compute()
        self._stream.wait()
        computed = time.perf_counter()
        self._stream.copy_out(self._memory["mask"], int(np.prod(self._mask)))
        self.end()
        return copied - began, computed - copied, time.perf_counter() - computed

    def close(self) -> None:
        self._wait()
        self._forget_graph()
        self._context = None
        for memory in self._memory.values():
            memory.free()
        self._stream.close()

    def _wait(self) -> None:
        self._stream.wait()
        self._busy = False

    def _take(self, images_BHWC: Pixels, place: int) -> None:
        if self._busy:  # a run before this one failed between begin and end
            self._wait()
        self._busy = True
        if images_BHWC.shape != self._shape or place != self._place:
            self._prepare(images_BHWC.shape, place)
        np.copyto(self._memory["image"].host(images_BHWC.shape), images_BHWC)

    def _prepare(self, shape: tuple[int, ...], place: int) -> None:
        """The context and the buffers for images of another size; nothing is running on the stream."""
        self._forget_graph()
        # nothing of them holds if this fails halfway
        before, self._shape, self._place, self._runs = self._place, (), None, 0
        set_shape(self._context, shape, place if place != before else None, self._stream.handle)
        outputs = output_shapes(self._context, [name for name in self._memory if name != "image"])
        sizes = {"image": int(np.prod(shape))} | {name: size for name, (_, size) in outputs.items()}
        self._mask = outputs["mask"][0]
        if self._mask != shape[:3]:
            raise BadInput(f"the engine gives a mask of {self._mask} for images of {shape}. Build it again.")
        for name, memory in self._memory.items():
            memory.reserve(sizes[name])
            bind_tensor(self._context, name, memory.device)
        self._shape, self._place = shape, place

    def _compute(self) -> None:
        """Puts the engine on the stream: as a graph from the second run of a size on.

        The first run of a size does what TensorRT puts off until then and a capture must not hold.
        """
        if self._runs == 1 and self._capturable:
            self.graph = self._stream.captured(lambda: enqueue_run(self._context, self._stream.handle))
            self._capturable = self.graph is not None
        self._runs += 1
        if self.graph is None:
            enqueue_run(self._context, self._stream.handle)
        else:
            self._stream.launch(self.graph)

    def _forget_graph(self) -> None:
        if self.graph is not None:
            self.graph.close()
            self.graph = None
