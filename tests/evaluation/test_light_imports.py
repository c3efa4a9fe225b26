import subprocess
import sys

from utils.runtime.paths import PROJECT_ROOT


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
