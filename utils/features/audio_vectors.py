"""PaSST's vectors of the clips of a data set, in files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from utils.audio.sound import is_truncation
from utils.features.fine_grid import GridFolder
from utils.features.shared_work import Batches, Units
from utils.features.tagger import Tagger, clip_batches, clip_units
from utils.features.updating import Target, Update, update_vector_files
from utils.features.vector_file import LOGITS, SCENE
from utils.runtime import distributed, terminal
from utils.settings.config import Config, DataFiles


def update_audio_vectors(
    config: Config,
    files: DataFiles,
    paths: Mapping[str, Path],
    sources: Mapping[str, str],
    unusable: Mapping[str, str],
    *,
    with_grid: bool = False,
    strict: bool = False,
    accept_truncated: bool = False,
    summary: terminal.Summary,
) -> tuple[str, Update]:
    """Bring logits and scene embeddings of clips up to date.

    Processes that torchrun has started share the work.

    Parameters
    ----------
    files : DataFiles
        Where they are written.
    paths : mapping of str to Path
        By ``split/file name``.
    sources, unusable : mapping of str to str
        The fingerprint of each clip, or why it cannot be used.
    with_grid : bool
        Also keep the cells of each clip: see `utils.features.fine_grid`.
    strict : bool
        Raise at the first clip that cannot be used.
    accept_truncated : bool
        Use truncated sounds as far as they go.

    Returns
    -------
    done : str
        What was done, with {} for the number of clips.
    update : Update

    """
    tagger = Tagger(config, cells=with_grid)
    summary.reads(tagger.weights_file)
    grid, again = None, set()
    if with_grid:
        folder = GridFolder(files.audio_grid, origin=tagger.made_by, width=sum(tagger.widths))
        folder.prepare()
        grid = folder, [sources.get(id, "") for id in paths]
        again = {id for id, source in sources.items() if not folder.count(source)}

    def start() -> tuple[Units, Callable[[Units], Batches]]:
        tag_windows = tagger.load()
        return clip_units(len(paths)), lambda units: clip_batches(
            list(paths.values()),
            units,
            tag_windows,
            **tagger.cutting,
            grid=grid,
            strict=strict,
            accept_truncated=accept_truncated,
        )

    logits_width, scene_width = tagger.widths
    targets = [
        Target(files.audio_logits, {"what": LOGITS, **tagger.made_by}, logits_width),
        Target(files.audio_scene, {"what": SCENE, **tagger.made_by}, scene_width),
    ]
    with terminal.progress(len(paths), "PaSST", "clips") as bar:
        update = update_vector_files(
            targets,
            list(paths),
            columns={"sources": [sources.get(id, "") for id in paths]},
            unusable=unusable,
            retried=lambda reason: accept_truncated and is_truncation(reason),
            start=start,
            again=again,
            team=distributed.team(),
            advance=bar.update,
        )
    if update.written:
        summary.writes(files.audio_logits, files.audio_scene)
        if with_grid:
            summary.writes(files.audio_grid)
    how = f"({tagger.device.type}, {tagger.made_by['precision']})"
    return f"tagged {{}} clips with {config.passt.arch} {how}", update
