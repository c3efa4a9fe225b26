from utils.errors import counted, shorten


def test_shorten_shows_ten_lines():
    assert shorten(["a", "b"]) == "  - a\n  - b"
    assert shorten([str(i) for i in range(10)]).endswith("  - 9")
    assert shorten([str(i) for i in range(13)]).endswith("  - 9\n  ... and 3 more")


def test_counted_fits_the_unit_to_the_number():
    assert [counted(["x"] * n, "clip") for n in range(3)] == ["0 clips", "1 clip", "2 clips"]
