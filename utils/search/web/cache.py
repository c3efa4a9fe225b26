"""A bounded cache of what was drawn."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Cache:
    """What was computed last, up to a number of bytes.

    Parameters
    ----------
    limit : int
        In bytes.

    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, key: Hashable, compute: Callable[[], bytes]) -> bytes:
        """Return what is held under a key, or compute it, without making other threads wait."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        value = compute()
        with self._lock:
            if key not in self._held:
                self._held[key] = value
                self.size += len(value)
            while self.size > self._limit:
                _, dropped = self._held.popitem(last=False)
                self.size -= len(dropped)
        return value
