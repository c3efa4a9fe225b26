"""A bounded cache."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

Value = TypeVar("Value", bound=Sized)


class LruCache(Generic[Value]):
    """The values used last, for any number of threads; `limit` is for the sum of their lengths."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self._computing: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self.size = 0

    def get(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the value of a key, or compute it once; threads with other keys do not wait."""
        with self._lock:
            computing = self._computing.setdefault(key, threading.Lock())
        with computing:
            with self._lock:
                if key in self._held:
                    self._held.move_to_end(key)
                    return self._held[key]
            value = compute()
            with self._lock:
                self._held[key] = value
                self.size += len(value)
                while self.size > self._limit:
                    _, dropped = self._held.popitem(last=False)
                    self.size -= len(dropped)
            return value
