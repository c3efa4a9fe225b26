import os

import pytest

from utils.benchmark import page_cache


def test_files_that_were_read_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(page_cache.sys, "prefix", str(tmp_path))
    path = tmp_path / "folder/file"
    path.parent.mkdir()
    path.write_bytes(bytes(3_000_000))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        file.read()
        share = page_cache.drop_pages(path)
        if share is None:
            pytest.skip("this system cannot drop files from memory")
        assert share == 0
        file.seek(0)
        file.read()
        monkeypatch.setattr(os, "posix_fadvise", lambda *_: None)
        assert page_cache.drop_pages() == 1


def test_a_system_that_cannot_drop_files_says_so(monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert page_cache.drop_pages() is None
