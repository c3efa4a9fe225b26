"""The operations that send vectors: of texts, and of sounds."""

import io
from collections.abc import Mapping

import anyio
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from starlette.responses import Response

from utils.search.web.api.answers import SoundList, SoundVectors, TextVectors
from utils.search.web.api.inputs import SoundsGiven, SoundVectorsSent, TextVectorsSent
from utils.search.web.api.operations import Operation
from utils.search.web.delivery import attachment
from utils.search.web.guard import Refusal
from utils.search.web.vectors import Vectors

_MAX_JSON = 1000  # rows
_BINARY = "application/octet-stream"


def vector_operations(vectors: Vectors) -> list[Operation]:
    """List the operations."""
    do = _Handlers(vectors)
    one = anyio.CapacityLimiter(1)  # leaves processors for searches
    texts, sounds = "/vectors/texts", "/vectors/sounds"
    gone = (404, 409)
    return [
        Operation("GET", "/sounds", do.list_sounds, errors=(409,)),
        Operation("POST", texts, do.vectors_of_texts, media=(_BINARY,), limiter=one),
        Operation("POST", sounds, do.vectors_of_sounds, media=(_BINARY,), errors=gone, limiter=one),
    ]


class _Handlers:
    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def list_sounds(self, given: SoundsGiven) -> SoundList:
        """List the sounds of the library, in the order of their numbers."""
        return self._vectors.list_sounds(given.library, given.first, given.count)

    def vectors_of_texts(self, sent: TextVectorsSent) -> TextVectors | Response:
        """Return the unit vectors of texts: descriptions, not query lines.

        Their dot products with those of sounds are the likeness. npy and safetensors (`vectors`)
        have a row of float32 for each text; X-Model is the model, and so is `model` in the
        metadata of safetensors.
        """
        vectors = self._vectors.of_texts(sent.texts)
        model = {"model": self._vectors.model}
        if sent.format == "json":
            return {**model, "vectors": vectors.tolist()}
        return _file(sent.format, {"vectors": vectors}, model)

    def vectors_of_sounds(self, sent: SoundVectorsSent) -> SoundVectors | Response:
        """Return the unit vectors of the passages of sounds, and of passages by their start.

        npy and safetensors (`vectors`) have a row of float32 for each passage. safetensors also
        has `sounds`, `starts` and `ends` of the rows. At most 1000 passages are sent in JSON,
        and 20 000 in files.
        """
        starts = [(one.sound, one.start) for one in sent.passages]
        found = self._vectors.of_sounds(sent.library, sent.sounds, starts)
        origin = {"model": self._vectors.model, "library": sent.library}
        if sent.format == "json":
            if len(found.vectors) > _MAX_JSON:
                text = f"These sounds have more than {_MAX_JSON} passages. Ask for fewer, or for "
                raise Refusal(413, f"{text}npy or safetensors.")
            passages = [
                {"sound": sound, "start": place.start, "end": place.end}
                for sound, place in zip(found.sounds, found.places, strict=True)
            ]
            return {**origin, "passages": passages, "vectors": found.vectors.tolist()}
        tensors = {
            "vectors": found.vectors,
            "sounds": np.array(found.sounds, np.int64),
            "starts": np.array([place.start for place in found.places], np.float64),
            "ends": np.array([place.end for place in found.places], np.float64),
        }
        return _file(sent.format, tensors, origin)


def _file(kind: str, tensors: Mapping[str, NDArray], origin: Mapping[str, str]) -> Response:
    if kind == "npy":
        file = io.BytesIO()
        np.save(file, tensors["vectors"])
        content = file.getvalue()
    else:
        content = safetensors.numpy.save(dict(tensors), metadata=dict(origin))
    headers = {**attachment(f"vectors.{kind}"), "x-model": origin["model"]}
    return Response(content, headers=headers, media_type=_BINARY)
