"""A bounded cache."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LruCache(Generic[Value]):
    """The values used last, for any number of threads.

    Parameters
    ----------
    limit : int
        Of the sum of all sizes.
    size_of : callable, optional
        Size of a value; without it each counts 1.

    """

    def __init__(self, limit: int, size_of: Callable[[Value], int] = lambda _: 1) -> None:
        self._limit, self._size_of = limit, size_of
        self._held: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, key: Hashable) -> Value | None:
        """Return the value of a key, or None if there is none."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value, and drop those that were not used for longest beyond the limit."""
        with self._lock:
            if key not in self._held:
                self._held[key] = value
                self.size += self._size_of(value)
            while self.size > self._limit:
                _, dropped = self._held.popitem(last=False)
                self.size -= self._size_of(dropped)
