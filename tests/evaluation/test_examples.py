import doctest

import pytest

from utils.evaluation import metrics, ranking, relevance


@pytest.mark.parametrize("module", [metrics, ranking, relevance])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
