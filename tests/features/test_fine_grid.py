import numpy as np
import pytest
import torch

from models.architectures import CELL_SECONDS
from utils.features.fine_grid import GridFolder, average_cells, count_cells, windows_before
from utils.runtime.errors import InputError

WIDTH = 3


def windows_of(count, cells=20, seed=1):
    return np.random.default_rng(seed).normal(size=(count, cells, WIDTH)).astype(np.float32)


def expected(windows):
    """The mean of all windows at each cell from 0 on, cell by cell."""
    cells = windows.shape[1]
    of_cell = {}
    for number, window in enumerate(windows):
        for place, row in enumerate(window, start=5 * number - cells // 2):
            of_cell.setdefault(place, []).append(row)
    return np.stack([np.mean(of_cell[place], axis=0) for place in sorted(of_cell) if place >= 0])


@pytest.mark.parametrize("cells", [20, 40, 60])
@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_a_cell_is_the_mean_over_all_windows_at_its_place(cells, at_once):
    windows = windows_of(9, cells)
    batches = [windows[start : start + at_once] for start in range(0, 9, at_once)]
    averaged = np.concatenate(list(average_cells(batches)))
    np.testing.assert_allclose(averaged, expected(windows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cells", [20, 40])
def test_from_a_later_window_on_cells_are_the_same(cells):
    windows, before = windows_of(20, cells), windows_before(cells)
    whole = np.concatenate(list(average_cells([windows])))
    rest = np.concatenate(list(average_cells([windows[8 - before :]], first=8 - before)))
    np.testing.assert_array_equal(rest[5 * before :], whole[40:])
    too_late = np.concatenate(list(average_cells([windows[8:]], first=8)))
    assert (too_late[0] != whole[40]).any()


def test_a_sound_of_one_window_keeps_all_its_cells():
    (window,) = windows_of(1, 7)
    (averaged,) = average_cells([window[None]])
    np.testing.assert_array_equal(averaged, window)


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.01, 1), (0.5, 1), (0.51, 2), (10.0, 20), (0.1 * 3, 1), (300.02, 601)]
)
def test_cells_of_a_sound_are_half_seconds(seconds, count):
    assert CELL_SECONDS == 0.5
    assert count_cells(seconds) == count


def test_a_grid_folder_resumes_where_a_sound_stopped(tmp_path):
    cells = torch.randn(30, WIDTH).numpy()
    folder = GridFolder(tmp_path / "grid", origin={"model": "demo"}, width=WIDTH)
    folder.prepare()
    assert folder.count("a") == 0
    assert folder.read("a").shape == (0, WIDTH)
    folder.append("a", cells[:20], at=0)
    folder.append("a", cells[10:], at=10)  # the last ten were not finished
    folder.append("b", cells[:1], at=0)
    np.testing.assert_array_equal(folder.read("a"), cells.astype(np.float16))
    assert folder.count("a") == 30


def test_a_grid_folder_of_another_network_is_emptied(tmp_path):
    def opened(model):
        folder = GridFolder(tmp_path / "grid", origin={"model": model}, width=WIDTH)
        folder.prepare()
        return folder

    opened("demo").append("a", np.zeros((1, WIDTH), np.float32), at=0)
    assert opened("demo").count("a") == 1
    with pytest.raises(InputError, match="made with another PaSST"):
        GridFolder.existing(tmp_path / "grid", {"model": "other"})
    assert GridFolder.existing(tmp_path / "grid", {"model": "demo"}).width == WIDTH
    assert opened("other").count("a") == 0
