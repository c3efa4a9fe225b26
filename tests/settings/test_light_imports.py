import subprocess
import sys

import pytest

from utils.settings.config import PROJECT_ROOT

SETTINGS = [f"utils.settings.{name}" for name in ("options", "consistency", "needed_files")]
RUNTIME = [
    f"utils.runtime.{name}"
    for name in [
        "devices",
        "distributed",
        "environment",
        "errors",
        "interrupts",
        "pools",
        "terminal",
    ]
]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ([*SETTINGS, *RUNTIME], {"torch", "numpy", "transformers", "h5py", "pandas", "pydantic"}),
        (["utils.settings.loading"], {"torch", "numpy", "transformers", "h5py", "pandas"}),
    ],
)
def test_settings_and_runtime_import_no_heavy_package(modules, heavy):
    program = (
        f"import sys, {', '.join(modules)}\n"
        "from utils.runtime import distributed\n"
        "from utils.settings import options\n"
        "options.parser('about').parse_args(['--set', 'seed=1'])\n"
        "distributed.team()\n"
        f"print({heavy!r} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "set()\n"
