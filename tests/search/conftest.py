import pytest

from tests.support import folder_to_search


@pytest.fixture(scope="session")
def sounds(small_demo, tmp_path_factory):
    """A folder of ten sounds, in a folder of its own, where their index may be kept too."""
    return folder_to_search(small_demo, tmp_path_factory.mktemp("library") / "my sounds")
