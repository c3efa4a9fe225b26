"""Which sounds browsers play as they are, from the right place and to their end."""

# By container and codec. Other formats are not played everywhere, or not from the right place:
# in Ogg Vorbis Chromium starts up to 0.2 s too early.
_MEDIA_TYPES = {
    ("wav", "pcm_16"): "audio/wav",
    ("wav", "pcm_u8"): "audio/wav",
    ("flac", "flac"): "audio/flac",
    ("mp3", "mp3"): "audio/mpeg",
    ("ogg", "opus"): "audio/ogg",
}
LOWEST_RATE, HIGHEST_RATE = 3_000, 384_000  # Hz
_LOWEST_MP3_RATE = 32_000  # Hz; below, the delay of the encoder takes more than 35 ms
MOST_CHANNELS = 2  # browsers differ in what they do with more
_RATE_INSTEAD = {False: 8_000, True: 48_000}  # of a too low and of a too high one


def media_type(
    container: str, codec: str, *, rate: int, channels: int, indexed: bool
) -> str | None:
    """Return the media type of a sound that is sent as it is; None if it has to be decoded.

    `container`, `codec` and `indexed` are those of `utils.audio.sound.Sound`, `rate` is in Hz.
    """
    if not indexed or channels > MOST_CHANNELS or rate != rate_to_play(rate):
        return None
    if codec == "mp3" and rate < _LOWEST_MP3_RATE:
        return None
    return _MEDIA_TYPES.get((container, codec))


def rate_to_play(rate: int) -> int:
    """Return the sample rate at which browsers play a sound of this rate, in Hz."""
    return rate if LOWEST_RATE <= rate <= HIGHEST_RATE else _RATE_INSTEAD[rate > HIGHEST_RATE]
