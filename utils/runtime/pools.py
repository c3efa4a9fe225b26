"""Processes that compute for this one, and end with it, however that comes."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from utils.runtime.errors import InputError

_DECODERS = max(2, min(8, (os.cpu_count() or 2) // 2))  # threads
_DECODED_AHEAD = 4 * _DECODERS  # clips


@contextlib.contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes; when the block ends, what they have not begun is dropped.

    Raises
    ------
    InputError
        If one of them is killed.

    """
    # "spawn", because a fork of a process with threads may hang
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _prepare)
    try:
        yield pool
    except BrokenProcessPool as error:
        raise InputError(
            f"one of {jobs} processes was killed, as happens where the memory is not enough. Run "
            "the same command again, with fewer --jobs."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    # Ctrl-C in a terminal reaches all processes; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the parent was killed: the pool's own pipes stay open, and its workers wait."""
    multiprocessing.parent_process().join()
    os._exit(1)


def map_ahead(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Map in threads, in order, never more than a few results ahead of the consumer."""
    with ThreadPoolExecutor(_DECODERS) as pool:
        waiting: list[tuple[Any, Any]] = []
        remaining = iter(items)
        try:
            while True:
                while len(waiting) < _DECODED_AHEAD:
                    item = next(remaining, None)
                    if item is None:
                        break
                    waiting.append((item, pool.submit(function, item)))
                if not waiting:
                    return
                item, future = waiting.pop(0)
                yield item, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
