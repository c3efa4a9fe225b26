import pytest

from tests.support import run_python

LIGHT = [  # argument parsing needs these
    "utils.settings.consistency",
    "utils.settings.needed_files",
    "utils.settings.options",
    "utils.runtime.devices",
    "utils.runtime.distributed",
    "utils.runtime.environment",
    "utils.runtime.errors",
    "utils.runtime.interrupts",
    "utils.runtime.pools",
    "utils.runtime.terminal",
]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (LIGHT, {"torch", "numpy", "transformers", "h5py", "pandas", "pydantic"}),
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
    assert run_python(program).stdout == "set()\n"
