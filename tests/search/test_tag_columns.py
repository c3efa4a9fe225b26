import numpy as np
import pytest

from tests.support import Bar, noting
from utils.search import tag_columns
from utils.search.tag_columns import TagColumns

TAGS = 4


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(tag_columns, "_BLOCK", 8)


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 30])
def test_each_column_is_that_of_the_table(tmp_path, rows):
    table = np.random.default_rng(rows).standard_normal((rows, TAGS)).astype(np.float16)
    columns = TagColumns(table, tmp_path / "tags.f16", progress=Bar)
    for tag in range(TAGS):
        np.testing.assert_array_equal(columns[tag], table[:, tag].astype(np.float32))
        assert columns[tag].dtype == np.float32
    assert (tmp_path / "tags.f16").exists() == (rows >= 8)


def test_a_table_that_grew_costs_only_what_is_new(tmp_path):
    table = np.random.default_rng(0).standard_normal((29, TAGS)).astype(np.float16)
    bars = []
    for rows in (17, 20, 29):
        columns = TagColumns(table[:rows], tmp_path / "tags.f16", progress=noting(bars))
        np.testing.assert_array_equal(columns[2], table[:rows, 2])
    assert [bar.total for bar in bars] == [2, 1]
