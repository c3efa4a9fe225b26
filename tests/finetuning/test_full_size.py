"""The networks at full size, with random weights of PaSST, on real sounds."""

import json

import pytest

from tests.support import run_python

_STEP = """
import json, resource, sys
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as lightning
import torch

from models.architectures import CLASSES
from models.dual_encoder import DualEncoder
from utils.finetuning.network import EndToEnd
from models.passt import Passt
from models.sentence_encoder import SentenceEncoder
from utils.audio.sound_file import fingerprint
from utils.finetuning.batches import CaptionedClips, Clips, collate_pairs
from utils.finetuning.sound_cache import SoundCache
from utils.finetuning.system import Captions, FineTuning
from utils.settings.config import Finetuning

sounds, sentence_model, cache = map(Path, sys.argv[1:])
paths = {path.name: path for path in sorted(sounds.rglob("*.wav"))[:3]}
sources = {name: fingerprint(path) for name, path in paths.items()}
cache = SoundCache(cache)
assert not cache.fill(paths, sources, advance=lambda count: None)
torch.manual_seed(0)
passt = Passt(arch="passt_s_swa_p16_128_ap476")
table = torch.randn(CLASSES, 768)
heads = DualEncoder(audio_size=CLASSES, text_size=768, tag_table=table, ratio=0.8)
network = EndToEnd(passt, SentenceEncoder(sentence_model), heads, audio_features="logits")
settings = Finetuning(epochs=1, windows=1, recompute=True, warmup_epochs=0)
passt.net.s_patchout_t, passt.net.s_patchout_f = settings.patchout_time, settings.patchout_bands
network.train()
network.recompute_activations()
text = ["a dog barks", "rain falls on a roof", "a car passes by"]
captions = Captions(network.sentences.tokenize(text))
clips = Clips(cache, list(sources.values()), passt.window, 1)
pairs = CaptionedClips(clips, np.arange(3), seed=0, one_each=False)
module = FineTuning(
    network,
    settings,
    training=captions,
    validation=captions,
    clip_of_caption=torch.arange(3),
    seed=0,
)
module.on_train_epoch_end = lambda: None
before = {name: p.detach().double().sum().item() for name, p in network.named_parameters()}
trainer = lightning.Trainer(
    accelerator="cpu", max_steps=1, max_epochs=1, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
)
collate = partial(collate_pairs, passt.window)
trainer.fit(module, torch.utils.data.DataLoader(pairs, 3, collate_fn=collate))
after = {name: p.detach().double().sum().item() for name, p in network.named_parameters()}
same = [name for name in before if after[name] == before[name]]
print(json.dumps({
    "steps": trainer.global_step,
    "loss": module._losses[0].item(),
    "same": same,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
}))
"""


@pytest.mark.slow
def test_the_full_size_networks_are_trained_on_real_sounds_within_6_gb(
    shared_data, sentence_model, tmp_path
):
    done = run_python(_STEP, shared_data / "clotho-audio", sentence_model, tmp_path / "cache")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["steps"] == 1
    assert 0 < found["loss"] < 20
    # Nothing reads PaSST's second head.
    assert all("head_dist" in name for name in found["same"]), found["same"]
    assert found["peak"] < 6
