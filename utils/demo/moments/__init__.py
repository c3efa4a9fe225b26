"""Recordings in which sounds occur at known moments, with queries for them."""

from utils.demo.moments.moment_set import DEFAULT_RECORDINGS, write_moment_set
from utils.demo.moments.synthetic_source import SyntheticSource

__all__ = ["DEFAULT_RECORDINGS", "SyntheticSource", "write_moment_set"]
