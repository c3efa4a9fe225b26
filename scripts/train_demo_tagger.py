"""Train the bundled tagger of the demo sounds. Its weights are in the repository already.

Reads   data/audioset/class_labels_indices.csv; the sounds are synthesised
Writes  data/demo/tagger.safetensors (16-bit weights) and data/demo/tagger.json (how, and how good)

    python scripts/train_demo_tagger.py

The sounds come from the demo set's generator, with other seeds, so that none of the demo set is
among them. The score is measured with the 16-bit weights, on sounds of a third seed.
"""

import argparse
import json
import os
from pathlib import Path

import start

from utils.files.reading import sha256
from utils.files.writing import atomic_write
from utils.runtime import distributed, terminal
from utils.runtime.errors import InputError
from utils.runtime.paths import PROJECT_ROOT

TRAINING_SEED, HELD_OUT_SEED = 7_001, 7_002
ARCH = "demo"
TIME_PATCHOUT, FREQUENCY_PATCHOUT = 12, 1


def main(argv: list[str] | None = None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=12_000, help="clips for training")
    parser.add_argument("--held-out", type=int, default=1_000, help="clips for the score")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="KIND",
        help="kinds of events that are not in the sounds: a tagger that does not know them",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "data/demo")
    args = parser.parse_args(argv)
    distributed.refuse_team("scripts/train_demo_tagger.py")
    train(args)


def train(args: argparse.Namespace) -> None:
    """Render the sounds, train the tagger, score it on other sounds, and write both files."""
    # These take seconds to import, which --help need not wait for.
    import safetensors.torch
    import torch

    from models import architectures, passt
    from utils.datasets import audioset
    from utils.demo import tagger_training
    from utils.demo.sound_events import EVENT_KINDS
    from utils.runtime import devices

    summary = terminal.Summary()
    weights_file = args.output / "tagger.safetensors"

    torch.manual_seed(TRAINING_SEED)  # for the network's initialisation and patchout
    tagger = passt.Passt(arch=ARCH)
    labels = audioset.read_labels()

    kinds = {name: kind for name, kind in EVENT_KINDS.items() if name not in args.leave_out}
    if unknown := set(args.leave_out) - set(EVENT_KINDS):
        raise InputError(f"--leave-out: unknown {', '.join(sorted(unknown))}")

    def clips(seed: int, count: int, what: str):
        with terminal.progress(count, what, "clips") as bar:
            for clip in tagger_training.render_clips(
                seed,
                count,
                sample_rate=architectures.SAMPLE_RATE,
                longest=tagger.window / architectures.SAMPLE_RATE,
                kinds=kinds,
                jobs=args.jobs,
            ):
                bar.update()
                yield clip

    with torch.no_grad():
        training = [
            (tagger.mel(torch.from_numpy(samples)[None])[0].half(), tags)
            for samples, tags in clips(TRAINING_SEED, args.clips, "training sounds")
        ]
    mels, tags = zip(*training, strict=True)
    print(f"rendered {len(mels)} training clips", flush=True)
    tagger.net.s_patchout_t, tagger.net.s_patchout_f = TIME_PATCHOUT, FREQUENCY_PATCHOUT
    precision = devices.choose_precision("auto", torch.device("cpu"))
    tagger_training.train_tagger(
        tagger.net,
        mels,
        tagger_training.targets(tags, labels),
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=TRAINING_SEED,
        precision=precision,
        report=lambda epoch, loss: print(f"epoch {epoch}: loss {loss:.3f}", flush=True),
    )

    state = {name: weight.half() for name, weight in tagger.net.state_dict().items()}
    with atomic_write(weights_file) as file:
        file.write(safetensors.torch.save(state))
    tagger.load_weights(state)
    tagger.eval()
    sounds, tags = zip(*clips(HELD_OUT_SEED, args.held_out, "held-out sounds"), strict=True)
    mean, per_tag = tagger_training.score_tagger(
        tagger, sounds, tagger_training.targets(tags, labels)
    )
    occurring = {labels[k]: round(float(ap), 3) for k, ap in enumerate(per_tag) if ap == ap}
    weights_sha256 = sha256(weights_file)
    card = {
        "note": "Trained only on synthetic sounds; useless for real recordings.",
        "architecture": ARCH,
        "weights_sha256": weights_sha256,
        "training": {
            "seed": TRAINING_SEED,
            **{name: getattr(args, name) for name in ("clips", "epochs", "batch_size")},
            "learning_rate": args.learning_rate,
            "precision": precision,
            **({"without": sorted(args.leave_out)} if args.leave_out else {}),
        },
        "held_out": {
            "seed": HELD_OUT_SEED,
            "clips": args.held_out,
            "tags": len(occurring),
            "mean_average_precision": round(mean, 4),
            "average_precision": dict(sorted(occurring.items(), key=lambda item: item[1])),
        },
    }
    with atomic_write(args.output / "tagger.json", "w") as file:
        file.write(json.dumps(card, indent=2) + "\n")
    summary.writes(weights_file, args.output / "tagger.json")
    if not args.leave_out and weights_sha256 != architectures.ARCHITECTURES[ARCH].weights_sha256:
        print(
            f"These are new weights: set weights_sha256 of {ARCH!r} in models/architectures.py to "
            f"{weights_sha256}"
        )
    summary.finish(
        f"trained on {args.clips} clips; held-out mAP {mean:.3f} over {len(occurring)} tags"
    )


if __name__ == "__main__":
    start.run(main)
