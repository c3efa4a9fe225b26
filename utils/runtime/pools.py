"""Processes and threads that work ahead of this process, and end with it."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from utils.runtime.errors import InputError

_DECODERS = max(2, min(8, (os.cpu_count() or 2) // 2))  # threads
_DECODED_AHEAD = 4 * _DECODERS  # clips


@contextlib.contextmanager
def worker_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes; when the block ends, tasks that have not started are dropped.

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
            f"one of {jobs} processes was killed, probably for lack of memory. Run the same "
            "command again with fewer --jobs."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    # Ctrl-C in a terminal reaches all processes; the parent ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent is killed; otherwise the workers would wait at open pipes for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def map_ahead(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Map in threads, in order, at most a few results ahead of the consumer."""
    with ThreadPoolExecutor(_DECODERS) as pool:
        remaining = iter(items)
        waiting = deque(
            (item, pool.submit(function, item))
            for item in itertools.islice(remaining, _DECODED_AHEAD)
        )
        try:
            while waiting:
                item, future = waiting.popleft()
                yield item, future.result()
                for item in itertools.islice(remaining, 1):
                    waiting.append((item, pool.submit(function, item)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
