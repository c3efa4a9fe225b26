import pytest

from utils.files import tables


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_read_csv_gives_cells_verbatim_with_their_lines(tmp_path, end, mark):
    path = tmp_path / "c.csv"
    lines = ["a,b", ' x ,"p, ""q"""', "", f'"two{end}lines",NA', "last,null"]
    path.write_bytes(mark + end.join(lines).encode())
    assert tables.read_csv(path) == [
        (1, ["a", "b"]),
        (2, [" x ", 'p, "q"']),
        (4, [f"two{end}lines", "NA"]),
        (6, ["last", "null"]),
    ]


def test_read_csv_with_another_delimiter_can_keep_empty_lines_but_not_the_last(tmp_path):
    (tmp_path / "c").write_text("a,b\tc\n\nb\n\n\n")
    rows = [(1, ["a,b", "c"]), (3, ["b"])]
    assert tables.read_csv(tmp_path / "c", delimiter="\t") == rows
    rows.insert(1, (2, []))
    assert tables.read_csv(tmp_path / "c", delimiter="\t", keep_empty=True) == rows


def test_what_write_csv_writes_read_csv_gives_back(tmp_path):
    cells = ["NA", "", 'a "q"', "a\nb", "a\r\nb", "a\rb", "\r", "x,y", " edge ", "é\u2028", "=1"]
    rows = [["a", cell] for cell in [*cells, "\\N"]]
    with (tmp_path / "c").open("w", newline="", encoding="utf-8") as file:
        tables.write_csv(file, rows)
    assert [row for _, row in tables.read_csv(tmp_path / "c")] == rows
    assert (tmp_path / "c").read_bytes().startswith(b'a,NA\na,\na,"a ""q"""\n')


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([], "c is empty: its header must be a,b"),
        (["x", "y"], "c, line 1: the header is 'x,y', and must be a,b."),
        (
            ["a;b"],
            "line 1: the header is 'a;b', and must be a,b. Its columns look separated by ';'",
        ),
    ],
)
def test_a_wrong_header_is_described(header, message):
    assert message in tables.header_problem("c", header, "a,b")
