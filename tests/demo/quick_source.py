"""A source of short recordings, in a module that processes import quickly."""

import numpy as np

from utils.demo.moments.recording import SAMPLE_RATE, Query, Recording


class Quick:
    """Makes recordings of a second, each with a query that names split and index."""

    statement = "Quick"
    version = "1"
    manifest = "quick.json"
    splits = ("train", "val", "test")

    def make(self, seed: int, split: str, index: int) -> Recording:
        """Make one recording."""
        rng = np.random.default_rng([seed, len(split), index])
        samples = rng.uniform(-0.5, 0.5, SAMPLE_RATE).astype(np.float32)
        return Recording(samples, [Query(f"“{split}” {index}", [(0.1, 0.25)], -1.5)])
