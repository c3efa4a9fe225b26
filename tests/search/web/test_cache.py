from utils.search.web.cache import LruCache


def test_the_cache_forgets_what_was_not_used_for_longest():
    cache = LruCache(10, len)
    cache.put("a", bytes(4))
    cache.put("b", bytes(4))
    assert cache.get("a") == bytes(4)
    cache.put("c", bytes(4))
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (bytes(4), None, bytes(4))
    cache.put("c", b"the first stays")
    assert cache.get("c") == bytes(4)
    assert cache.size == 8
    cache.put("huge", bytes(11))
    assert cache.get("huge") is None
    assert cache.size <= 10


def test_without_sizes_values_are_counted():
    cache = LruCache(2)
    for key in "abc":
        cache.put(key, key.upper())
    assert [cache.get(key) for key in "abc"] == [None, "B", "C"]
