"""The best of millions of vectors; nothing here is about sounds."""
