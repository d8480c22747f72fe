"""The inference thread: everything with the network happens in it, and it takes one frame at a time, the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

from scdepth_ros.newest_slot import Item, NewestSlot

Result = TypeVar("Result")


class FrameWorker(Generic[Item]):
    """A thread that loads a network, and handles the newest item whenever the last one is done.

    One thread does both, because libraries keep things by thread. OpenMP (PyTorch, ncnn) has a team of threads for
    each one that asked it for work; with more of them than cores, teams sleep between layers. Loaded in one thread
    and run in another, PyTorch took 42 ms instead of 33 and ncnn 31 to 41 instead of 24, with 2 threads on 2 cores.
    cuDNN plans how to compute in each thread anew.
    """

    def __init__(self):
        self._calls: SimpleQueue[tuple[Future, Callable[[], object]] | None] = SimpleQueue()
        self._slot: NewestSlot[Item] = NewestSlot()
        self._slot.close()  # until the start
        self._handling: Future | None = None
        threading.Thread(target=self._run, name="inference", daemon=True).start()

    def call(self, function: Callable[[], Result]) -> Result:
        """What a function returns, or raises, in the thread. Not while items are handled."""
        return self._begin(function).result()

    def start(self, handle: Callable[[Item], None]) -> None:
        """Take items from now on; `handle` is called with one at a time, and must not raise."""
        self._slot = NewestSlot()
        self._handling = self._begin(partial(_handle_newest, self._slot, handle))

    def submit(self, item: Item) -> bool:
        """Hand over the newest item; True when it took the place of one that was still waiting."""
        return self._slot.put(item)

    def close(self) -> bool:
        """Take nothing more, and drop what waits; True when something did."""
        return self._slot.close()

    def stop(self, timeout: float) -> bool:
        """Close, and let the item in work finish.

        Returns:
            False when that took longer than `timeout` seconds; nothing can be done in the thread before it ends.
        """
        self.close()
        return self._handling is None or bool(wait([self._handling], timeout).done)

    def end(self) -> None:
        """Close; the thread ends when it has nothing left to do."""
        self.close()
        self._calls.put(None)

    def _begin(self, function: Callable[[], object]) -> Future:
        future = Future()
        self._calls.put((future, function))
        return future

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            try:
                future.set_result(function())
            except BaseException as error:  # as Thread would end with, here for who waits
                future.set_exception(error)
            del call, future, function  # or what they hold would live until the next call


def _handle_newest(slot: NewestSlot[Item], handle: Callable[[Item], None]) -> None:
    while (item := slot.take()) is not None:
        handle(item)
