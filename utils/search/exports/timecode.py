"""Times as SMPTE timecode (SMPTE ST 12-1)."""

from dataclasses import dataclass
from fractions import Fraction

from utils.runtime.errors import InputError

_NTSC = Fraction(1000, 1001)
_DROPPED = 2  # numbers of frames, in each minute that is no tenth


@dataclass(frozen=True)
class FrameRate:
    """Frames per second, the frames that a second counts, and whether numbers are dropped."""

    rate: Fraction
    base: int
    is_drop: bool = False

    @property
    def per_hour(self) -> int:
        """Frames whose timecode is within an hour."""
        return 3600 * self.base - (54 * _DROPPED if self.is_drop else 0)

    def frames(self, seconds: float) -> int:
        """Count the frames of a time, rounded to the nearest."""
        return round(Fraction(seconds) * self.rate)

    def timecode(self, frames: int) -> str:
        """Write the timecode of a frame; it starts again after 24 hours.

        Examples
        --------
        >>> FRAME_RATES["25"].timecode(90_061)
        '01:00:02:11'
        >>> [FRAME_RATES["29.97"].timecode(frame) for frame in (1799, 1800, 17_982)]
        ['00:00:59;29', '00:01:00;02', '00:10:00;00']

        """
        frames %= 24 * self.per_hour
        if self.is_drop:
            ten = self.per_hour // 6
            minute = 60 * self.base - _DROPPED
            tens, rest = divmod(frames, ten)
            minutes = max(0, rest - _DROPPED) // minute
            frames += _DROPPED * (9 * tens + minutes)
        seconds, frame = divmod(frames, self.base)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{clock}{';' if self.is_drop else ':'}{frame:02}"


FRAME_RATES = {
    "23.976": FrameRate(24 * _NTSC, 24),
    "24": FrameRate(Fraction(24), 24),
    "25": FrameRate(Fraction(25), 25),
    "29.97": FrameRate(30 * _NTSC, 30, is_drop=True),
    "30": FrameRate(Fraction(30), 30),
    "50": FrameRate(Fraction(50), 50),
    "60": FrameRate(Fraction(60), 60),
}


def frame_rate(name: str) -> FrameRate:
    """Return the frame rate of this name; an InputError if it is not known."""
    if name not in FRAME_RATES:
        raise InputError(f"{name!r} frames per second: give one of {', '.join(FRAME_RATES)}.")
    return FRAME_RATES[name]
