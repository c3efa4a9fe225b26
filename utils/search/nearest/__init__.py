"""The best of millions of vectors. Knows no sounds."""
