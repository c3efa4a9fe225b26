import doctest
import subprocess
import sys

import pytest

from utils.evaluation import metrics, ranking, relevance
from utils.settings.config import PROJECT_ROOT


@pytest.mark.parametrize("module", [metrics, ranking, relevance])
def test_examples_in_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_scoring_a_table_loads_no_heavy_library():
    code = (
        "import sys\n"
        "from utils.evaluation import metrics, relevance, result_tables, score_text\n"
        "print({'torch', 'h5py', 'pandas', 'scipy'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"
