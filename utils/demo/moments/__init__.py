"""Recordings in which sounds occur at known moments, with queries for them."""

from utils.demo.moments.clip_source import ClipSource
from utils.demo.moments.moment_set import DEFAULT_RECORDINGS, write_moment_set
from utils.demo.moments.synthetic_source import SyntheticSource

__all__ = ["DEFAULT_RECORDINGS", "ClipSource", "SyntheticSource", "write_moment_set"]
