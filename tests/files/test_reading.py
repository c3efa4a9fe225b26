import hashlib

import pytest

from utils.files import reading
from utils.runtime.errors import InputError


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert reading.sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(InputError, match=r"cannot read .*missing: No such file"):
        reading.sha256(tmp_path / "missing")


def test_read_json(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'\xef\xbb\xbf{"a": "2012-01-01"}')
    assert reading.read_json(path) == {"a": "2012-01-01"}
    for content in ("{", "[" * 100_000):
        path.write_text(content)
        with pytest.raises(InputError, match="not valid JSON"):
            reading.read_json(path)
    with pytest.raises(InputError, match="cannot read"):
        reading.read_json(tmp_path)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        *((name, True) for name in ("a.wav", " a .wav", "..wav", "é", "-", "a:b")),
        *((name, False) for name in ("", ".", "..", "a/b", "/a", "../a", "a\\b", "a\0")),
    ],
)
def test_file_names_are_distinguished_from_paths(name, plain):
    assert reading.is_file_name(name) == plain
