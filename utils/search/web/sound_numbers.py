"""Numbers of sounds: they are those of one library, which has a token."""

from utils.search.library import Library, LibrarySound
from utils.search.web.guard import Refusal


def token_of(library: Library) -> str:
    """Return what distinguishes the numbers of its sounds from another library's."""
    return library.database.value("token")


def expect_library(library: Library, token: str | None) -> None:
    """Refuse numbers of another library, with 409."""
    if token != token_of(library):
        raise Refusal(409, "The numbers of sounds are of another library. Search again.")


def expect_sound(library: Library, token: str | None, number: int) -> LibrarySound:
    """Return a sound; a `Refusal` with 409 as `expect_library`, with 404 if there is none."""
    expect_library(library, token)
    found = library.sounds([number])
    if not found:
        raise no_sound(number)
    return found[number]


def no_sound(number: int) -> Refusal:
    """Return the answer where the library has no such sound."""
    return Refusal(404, f"The library has no sound number {number}.")
