import numpy as np

from utils import sentences


def test_texts_are_batched_by_length_and_all_come():
    tokens = [[0] * n for n in (5, 1, 9, 2, 7)]
    seen = []

    def embed(batch):
        seen.append([len(t) for t in batch])
        return np.array([[len(t)] for t in batch], np.float32)

    found = {}
    for positions, rows in sentences.text_batches(tokens, [0, 1, 2, 4], embed, batch_size=2):
        found.update(zip(positions, rows[:, 0], strict=True))
    assert seen == [[1, 5], [7, 9]]
    assert found == {0: 5, 1: 1, 2: 9, 4: 7}
