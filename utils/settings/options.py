"""The options that every command takes, and the settings that they select.

Parsing arguments must be fast, so pydantic is imported only where settings are loaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.settings.consistency import contradictions

if TYPE_CHECKING:
    from utils.settings.config import Config
    from utils.settings.loading import Check


def parser(description: str) -> argparse.ArgumentParser:
    """Make an argument parser with the options that every command takes: --config and --set."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_options(result)
    return result


def add_config_options(target: argparse.ArgumentParser, *, of_subcommand: bool = False) -> None:
    """Add --config and --set to a parser, or to one of its subcommands.

    Options before and after a subcommand's name add up, because it stores its own in attributes of
    their own.
    """
    prefix = "command_" if of_subcommand else ""
    target.add_argument(
        "--config",
        dest=f"{prefix}config",
        type=Path,
        metavar="FILE",
        help="settings file (default: the project's conf.yaml)",
    )
    target.add_argument(
        "--set",
        dest=f"{prefix}overrides",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="override one setting, e.g. --set training.epochs=5; may be repeated",
    )


def add_subset_option(target: argparse.ArgumentParser, *choices: str) -> None:
    """Add --subset, which selects the data set; the default is the first of the choices."""
    sections = {"clotho": "train_data", "task6b": "eval_data", "clotho-moment": "clotho_moment"}
    listing = "; ".join(
        f"{choice}: {sections.get(choice, choice)} in the settings" for choice in choices
    )
    about = f"data set to process (default: {choices[0]}). {listing}"
    target.add_argument("--subset", choices=choices, default=choices[0], help=about)


def add_model_option(target: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add --model and --checkpoint, one of which names what is scored."""
    either = target.add_mutually_exclusive_group(required=True)
    either.add_argument("--model", choices=["tags"], help="tags: AudioSet tags alone, untrained")
    if several:
        add_checkpoints_option(either)
    else:
        either.add_argument("--checkpoint", type=Path, metavar="FILE")


def add_checkpoints_option(target: Any, **options: Any) -> None:
    """Add --checkpoint, which names one model or several that score together."""
    about = "several score together: the mean of their scores, normalised for each query"
    target.add_argument("--checkpoint", type=Path, nargs="+", metavar="FILE", help=about, **options)


def add_strict_option(target: argparse.ArgumentParser) -> None:
    """Add --strict, which stops at the first unusable sound file."""
    target.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first unusable sound file instead of skipping it",
    )


def add_accept_truncated_option(target: argparse.ArgumentParser) -> None:
    """Add --accept-truncated, which uses truncated and damaged sound files as far as they go."""
    target.add_argument(
        "--accept-truncated",
        action="store_true",
        help="use truncated or damaged sound files as far as they go, instead of skipping them",
    )


def add_list_skipped_option(target: argparse.ArgumentParser) -> None:
    """Add --list-skipped, which lists all skipped files."""
    target.add_argument(
        "--list-skipped",
        action="store_true",
        help="list every file that is skipped, instead of ten or of their number",
    )


def load_config(
    args: argparse.Namespace,
    *,
    default: Path | Config | None = None,
    check: Check = contradictions,
) -> Config:
    """Load the settings that --config and --set select.

    Without --config they come from `default`: a file, settings, or the project's conf.yaml if None.
    `check` lists the contradictions of a file, see `utils.settings.consistency`.
    """
    from utils.settings import config, loading

    overrides = [*args.overrides, *getattr(args, "command_overrides", [])]
    given = config_file(args, default=default)
    if isinstance(given, config.Config):
        return loading.parse_config(
            config.to_plain(given), overrides, base=Path.cwd(), source="the checkpoint's settings"
        )
    return loading.load_config(given, overrides, check=check)


def changed_by(args: argparse.Namespace) -> Callable[[Config], Config]:
    """Make a function that changes the settings of a training as --config and --set ask for."""
    return lambda trained: load_config(args, default=trained)


def config_file(args: argparse.Namespace, *, default: Path | Config | None = None) -> Path | Config:
    """Return what --config names, after a subcommand or before; or `default`, or conf.yaml."""
    from utils.settings.config import DEFAULT_CONFIG

    return getattr(args, "command_config", None) or args.config or default or DEFAULT_CONFIG
