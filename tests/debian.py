"""Real sounds that a Debian package installs: 61 of a game, under CC BY-SA 3.0, with tags."""

from pathlib import Path

import pytest

PACKAGE, SOUNDS = "wordwarvi-sound", Path("/usr/share/wordwarvi/sounds")


def debian_sounds() -> list[Path]:
    """List the sounds of the package."""
    if not SOUNDS.is_dir():
        pytest.skip(f"{SOUNDS} is missing: apt-get install {PACKAGE}")
    return sorted(SOUNDS.glob("*.ogg"))
