import os

from utils.files.left_out import by_kind, by_reason, kind_of, other_files, unusable_files


def test_entries_are_hidden_folders_or_files_by_their_ending(tmp_path):
    for name in ("a.PDF", ".b.wav", "no ending", "c.", "d.what a long ending", "e.tar.gz", "f.é"):
        (tmp_path / name).touch()
    (tmp_path / "sub.wav").mkdir()
    (tmp_path / "link.wav").symlink_to("sub.wav")
    (tmp_path / "broken.txt").symlink_to("nowhere")
    assert {entry.name: kind_of(entry) for entry in os.scandir(tmp_path)} == {
        "a.PDF": ".pdf",
        ".b.wav": "hidden",
        "no ending": "without an ending",
        "c.": "without an ending",
        "d.what a long ending": "without an ending",
        "e.tar.gz": ".gz",
        "f.é": "without an ending",
        "sub.wav": "folder",
        "link.wav": "symlinked folder",
        "broken.txt": ".txt",
    }


def test_reasons_are_counted_without_what_differs_from_file_to_file():
    failed = {
        "a": "is truncated after 100 of 200 bytes of sound",
        "b": "is truncated after 7 of 9000 bytes of sound",
        "c": "cannot be read as sound (Format not recognised.)",
        "d": "cannot be read as sound (odd (very))",
        "e": "cannot be read as sound",
        "f": "is a symlink that leaves it (to /x\n(1).wav)",
    }
    assert by_reason(failed) == {
        "cannot be read as sound": 3,
        "is truncated after … of … bytes of sound": 2,
        "is a symlink that leaves it": 1,
    }
    assert unusable_files({"e": failed["e"]}) == "1 file cannot be used: 1 cannot be read as sound"


def test_other_files_are_counted_with_the_most_frequent_first():
    others = {"a": ".txt", "b": ".pdf", "c": ".pdf"}
    assert by_kind(others) == {".pdf": 2, ".txt": 1}
    assert other_files(others) == "3 other files: 2 .pdf, 1 .txt"
    assert other_files({}) == "0 other files"
