"""The options that every command takes, and the settings that they ask for."""

import argparse
from pathlib import Path

from utils.settings import config, consistency, loading


def parser(description: str) -> argparse.ArgumentParser:
    """Make an argument parser with the options that every command takes: --config and --set."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_options(result)
    return result


def add_config_options(target: argparse.ArgumentParser, *, of_subcommand: bool = False) -> None:
    """Add --config and --set to a parser, or to one of its subcommands.

    A subcommand keeps its own in other attributes, so that options before and after its name
    count together instead of the later silencing the earlier.
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
    """Add --subset, which says for which data set to work; the first of the choices by default."""
    sections = {"clotho": "train_data", "task6b": "eval_data", "audiocaps": "audiocaps"}
    listing = "; ".join(f"{choice}: {sections[choice]} of the settings" for choice in choices)
    target.add_argument(
        "--subset",
        choices=choices,
        default=choices[0],
        help=f"which data set (default {choices[0]}). {listing}",
    )


def add_strict_option(target: argparse.ArgumentParser) -> None:
    """Add --strict, which stops at the first sound file that cannot be used."""
    target.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first sound file that cannot be used, instead of leaving it out",
    )


def load_config(
    args: argparse.Namespace,
    *,
    default: Path | config.Config = config.DEFAULT_CONFIG,
    check: loading.Check = consistency.contradictions,
) -> config.Config:
    """Load the settings that --config and --set ask for.

    `default` is the file, or the settings themselves, that hold without --config. `check` finds
    what contradicts itself in a file, see `utils.settings.consistency`.
    """
    overrides = [*args.overrides, *getattr(args, "command_overrides", [])]
    given = config_file(args, default=default)
    if isinstance(given, config.Config):
        return loading.parse_config(
            config.to_plain(given), overrides, base=Path.cwd(), source="the checkpoint's settings"
        )
    return loading.load_config(given, overrides, check=check)


def config_file(
    args: argparse.Namespace, *, default: Path | config.Config = config.DEFAULT_CONFIG
) -> Path | config.Config:
    """Return the settings file that --config names, after a subcommand or before; or `default`."""
    return getattr(args, "command_config", None) or args.config or default
