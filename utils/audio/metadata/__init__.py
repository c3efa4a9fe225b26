"""What a sound file says about itself: titles, descriptions, markers. The sound is not read."""

from utils.audio.metadata.gathering import Marker, SoundMetadata
from utils.audio.metadata.reading import read_metadata

__all__ = ["Marker", "SoundMetadata", "read_metadata"]
