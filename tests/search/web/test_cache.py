import threading
from concurrent.futures import ThreadPoolExecutor

from utils.search.web.cache import LruCache


def test_the_cache_computes_once_and_forgets_what_was_not_used_for_longest():
    cache = LruCache(10)
    computed = []

    def value(key, size=4):
        return cache.get(key, lambda: computed.append(key) or bytes(size))

    for key in "abab":
        value(key)
    value("a")
    value("c")  # b goes
    value("a")
    assert computed == ["a", "b", "c"]
    value("b")
    assert computed == ["a", "b", "c", "b"]
    assert cache.size <= 10
    assert value("huge", 11) == bytes(11)
    assert cache.size <= 10


def test_a_value_being_computed_makes_no_other_wait():
    cache = LruCache(100)
    begun, proceed = threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert proceed.wait(20)
        return b"slow"

    with ThreadPoolExecutor() as pool:
        found = pool.submit(cache.get, "slow", slow)
        assert begun.wait(20)
        assert cache.get("fast", lambda: b"fast") == b"fast"
        proceed.set()
        assert found.result(20) == cache.get("slow", lambda: b"again") == b"slow"
