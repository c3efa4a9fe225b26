"""Settings of a run whose folder, or whole project, was moved or copied since."""

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from utils.settings.config import Config


def relocated(config: Config, folder: Path) -> Config:
    """Let the paths of a run's settings start from where the run is now.

    A run is below ``<output_path>/<experiment>``. If these are elsewhere now, ``output_path`` is
    their place, and each path below the folder that contained ``output_path`` is one below the
    folder that contains it now, if there is such a file. Other settings stay.

    Parameters
    ----------
    config : Config
        As the run stored it.
    folder : Path
        Of the run.

    """
    for above in (folder := folder.resolve(), *folder.parents):
        if (above.parent.name, above.name) == (config.output_path.name, config.experiment):
            old, new = config.output_path.parent, above.parent.parent
            return config if old.resolve() == new else _moved(config, old, new)
    return config


def _moved(section: Any, old: Path, new: Path) -> Any:
    changed: dict[str, Any] = {}
    for key, value in vars(section).items():
        if is_dataclass(value):
            changed[key] = _moved(value, old, new)
        elif isinstance(value, Path) and value.is_relative_to(old):
            here = new / value.relative_to(old)
            # A file that is nowhere is reported where it should be now.
            if here.exists() or (here.parent.is_dir() and not value.exists()):
                changed[key] = here
    return replace(section, **changed)
