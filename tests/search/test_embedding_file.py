import dataclasses

import numpy as np

from tests.support import Bar
from utils.search.embedding_file import embed_library
from utils.search.library import Library


def test_embeddings_are_computed_once_for_each_row(tmp_path):
    table = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    library = Library(None, None, table, None, np.arange(5), None)
    seen = []

    def embed(rows):
        seen.extend(rows[:, 0].tolist())
        return rows[:, :2] + 1

    path = tmp_path / "e.f32"
    found = embed_library(library, path, embed, progress=Bar)
    np.testing.assert_array_equal(found, library.table[:, :2] + 1)
    table = np.concatenate([library.table, library.table[:2] + 9])
    more = dataclasses.replace(library, table=table)
    with path.open("ab") as file:
        file.write(b"half")
    seen.clear()
    found = embed_library(more, path, embed, progress=Bar)
    np.testing.assert_array_equal(found, more.table[:, :2] + 1)
    assert seen == [more.table[0, 0], *more.table[5:, 0].tolist()]  # the first is for the width
    assert not found.flags.writeable
