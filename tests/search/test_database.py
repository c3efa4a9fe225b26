from utils.search.database import Database


def test_what_another_process_has_just_written_is_read_without_the_right_to_write(
    tmp_path, monkeypatch
):
    path = tmp_path / "library.sqlite"
    writer = Database.create(path, folder="before")
    with writer.writing() as connection:
        connection.execute("UPDATE library SET value = '\"after\"' WHERE key = 'folder'")
    assert (tmp_path / "library.sqlite-wal").stat().st_size > 0
    monkeypatch.setattr("utils.search.database._is_writable", lambda path: False)
    reader = Database(path)
    assert reader.value("folder") == "after"
    assert not reader.is_writable
    reader.close()
    writer.close()
    assert Database(path).value("folder") == "after"  # no log
    (tmp_path / "library.sqlite-wal").touch()
    assert Database(path).value("folder") == "after"  # an empty one
