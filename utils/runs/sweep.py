"""Grids of settings, each trained with several seeds: the folder, its runs, their comparison."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import StrictInt

from utils.checkpoints.provenance import NO_OTHER_KEYS, parse_plain
from utils.datasets.corpus import CLOTHO
from utils.files.writing import atomic_write, write_if_changed
from utils.runs.data import RunData, load_data
from utils.runs.plans import PLANS, data_settings, files_of_run
from utils.runs.resuming import begin_or_resume, load_initial
from utils.runs.run_folder import Run, folder_name
from utils.runs.sweep_recipe import NotEmpty, Question, Questions, label
from utils.runs.sweep_table import Outcome, compare, table_csv, table_markdown
from utils.runs.training_run import fit_and_score, make_trainer
from utils.runtime import terminal
from utils.runtime.devices import choose_device
from utils.runtime.errors import InputError, shown
from utils.settings.config import Config, to_plain
from utils.settings.consistency import destructive
from utils.settings.loading import parse_config
from utils.settings.needed_files import Needed
from utils.settings.relocation import relocated
from utils.settings.safe_yaml import read_yaml

_PLAN = "sweep.yaml"


@dataclass(frozen=True)
class SweepPlan:
    """What sweep.yaml holds: `settings` that all runs share; paths in questions start at `base`."""

    __pydantic_config__: ClassVar = NO_OTHER_KEYS

    questions: Questions
    seeds: Annotated[list[StrictInt], NotEmpty]
    base: str
    settings: dict[str, Any]


class Sweep:
    """A folder with the runs of a sweep: ``sweep.yaml``, ``runs/``, ``table.csv``, ``table.md``."""

    def __init__(self, folder: Path, plan: SweepPlan) -> None:
        self.folder = folder
        self.plan = plan
        self._names: dict[Config, str] = {}
        self.table, self.markdown = folder / "table.csv", folder / "table.md"

    @classmethod
    def new(
        cls, config: Config, questions: Sequence[Question], seeds: Sequence[int], *, base: Path
    ) -> "Sweep":
        """Plan a sweep; nothing is written yet."""
        plan = SweepPlan(list(questions), list(seeds), str(base), to_plain(config))
        return cls(folder_name(config, "sweep"), plan)

    @classmethod
    def existing(cls, folder: Path) -> "Sweep":
        """Open the folder of an interrupted sweep."""
        path = folder / _PLAN
        if not path.is_file():
            raise InputError(
                f"{folder} holds no {_PLAN}, so there is no sweep to resume. Give the folder that "
                "the interrupted sweep named."
            )
        hint = "Begin a new sweep."
        content = read_yaml(path, dict, what="plan of a sweep", hint=hint)
        return cls(
            folder, parse_plain(SweepPlan, content, f"{path} is not a plan of a sweep", hint)
        )

    def save(self) -> None:
        """Write the plan, so that the sweep can be resumed."""
        plan = yaml.safe_dump(asdict(self.plan), sort_keys=False, allow_unicode=True)
        write_if_changed(self.folder / _PLAN, plan.encode())

    def configs(self) -> list[Config]:
        """List the settings of every run; those that questions share occur once."""
        every = [
            self._config(question, combination, seed)
            for question in self.plan.questions
            for combination in question.combinations
            for seed in self.plan.seeds
        ]
        return list(dict.fromkeys(every))

    def run(self, config: Config) -> Run:
        """Name a run after its settings: questions that share them share the run."""
        return Run(self.folder / "runs" / self._names[config], config, quiet=True)

    def needed_files(self, configs: Iterable[Config]) -> list[Needed]:
        """List the files that runs read; new runs may also start from other weights."""
        return [
            file
            for config in configs
            for file in files_of_run(
                config,
                PLANS[CLOTHO],
                begins=not self.run(config).checkpoint_last.is_file(),
            )
        ]

    def write_tables(self, clips: NDArray[np.int64]) -> list[Path]:
        """Compare the finished runs; `clips` are the captions' own clips, shape (N,)."""
        outcomes = {
            question.question: {
                label(combination): self._outcome(question, combination)
                for combination in question.combinations
            }
            for question in self.plan.questions
        }
        seeds = self.plan.seeds
        rows = compare(outcomes, clips, seed=seeds[0])
        title = (
            f"{self.plan.settings['experiment']}: {len(clips)} test captions, seeds "
            f"{', '.join(map(str, seeds))}"
        )
        contents = {self.table: table_csv(rows), self.markdown: table_markdown(rows, title=title)}
        for path, content in contents.items():
            with atomic_write(path, "w") as file:
                file.write(content)
        return list(contents)

    def _outcome(self, question: Question, combination: Mapping[str, Any]) -> Outcome:
        found = [
            self.run(self._config(question, combination, seed)).read_outcome()
            for seed in self.plan.seeds
        ]
        validation, ranks = zip(*found, strict=True)
        return Outcome(np.array(validation), np.array(ranks))

    def _config(self, question: Question, combination: Mapping[str, Any], seed: int) -> Config:
        settings = {**question.set, **combination, "seed": seed}
        planned = parse_config(
            self.plan.settings,
            [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()],
            base=Path(self.plan.base),
            source=f"the question {shown(question.question)}, {label(combination)}",
            check=destructive,
        )
        config = relocated(planned, self.folder)
        # As the run was named first, if the sweep was moved since.
        self._names[config] = _name(planned)
        return config


def _name(config: Config) -> str:
    settings = {**to_plain(config), "seed": None}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return f"{digest[:12]}_seed{config.seed}"


def load_data_of_runs(
    configs: Iterable[Config], *, summary: terminal.Summary
) -> dict[Config, RunData]:
    """Read the data of the runs of a sweep; those that read the same share it.

    Raises
    ------
    InputError
        If a file is missing or does not fit, or the runs have different test captions.

    """
    data_of: dict[Config, RunData] = {}
    loaded: dict[Config, RunData] = {}
    for config in configs:
        settings = data_settings(config)
        if settings not in loaded:
            device = choose_device(config.training.device)
            loaded[settings] = load_data(config, PLANS[CLOTHO], device=device, summary=summary)
            tests = [data.test.split.captions if data.test else [] for data in loaded.values()]
            if not tests[-1] or tests[-1] != tests[0]:
                raise InputError(
                    f"the evaluation split in {config.train_data.input_path} has "
                    f"{'other captions than the first' if tests[-1] else 'no captions'}, so there "
                    "is nothing to compare. Sweep settings over one data set, with its wavs in "
                    "place."
                )
        data_of[config] = loaded[settings]
    return data_of


def train_runs(
    sweep: Sweep, data_of: Mapping[Config, RunData], *, summary: terminal.Summary
) -> None:
    """Bring every run of a sweep to its end, and print the validation mAP@10 of each."""
    for number, (config, data) in enumerate(data_of.items(), start=1):
        with sweep.run(config) as run:
            if not run.finished:
                trainer, trained_with = make_trainer(config, data), data.inputs.made_with
                if not run.checkpoint_last.exists():
                    load_initial(trainer.model, config, trained_with=trained_with)
                begun_with = data.digests(trainer.model)
                begin_or_resume(trainer, run, begun_with=begun_with, trained_with=trained_with)
                fit_and_score(run, data, trainer)
        validation, _ = run.read_outcome()
        summary.notes(
            f"run {number}/{len(data_of)}  {run.folder.name}  validation {validation:.4f}"
        )
