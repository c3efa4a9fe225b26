"""The examples in docstrings are run, so that they stay true.

Those of `utils.search` need a model and sounds: `tests/search/test_searcher.py` runs them.
"""

import doctest
import importlib

import pytest

from utils.runtime.paths import PROJECT_ROOT

NEED_FILES = {"utils.search.embedder", "utils.search.searcher"}
WITH_EXAMPLES = {
    ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("models", "utils")
    for path in (PROJECT_ROOT / folder).rglob("*.py")
    if "\n    >>> " in path.read_text(encoding="utf-8")
}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES - NEED_FILES))
def test_examples_give_what_they_say(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
