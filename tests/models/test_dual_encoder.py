import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.dual_encoder import DualEncoder
from tests.support import LOGITS_BRANCH, SCENE_BRANCH, golden_encoder


def small_model(*, tags: bool = True, text_projection: bool = False, ratio: float = 0.7):
    """A dual encoder of 7 tags in 12 dimensions."""
    generator = torch.Generator().manual_seed(1)
    table = F.normalize(torch.randn(7, 12, generator=generator), dim=-1)
    return DualEncoder(
        audio_size=7,
        text_size=12,
        tag_table=table if tags else None,
        ratio=ratio,
        text_projection=text_projection,
        generator=generator,
    )


@pytest.mark.parametrize("size", ["small", "full"])
@pytest.mark.parametrize(("name", "norm", "projection", "feature"), [LOGITS_BRANCH, SCENE_BRANCH])
def test_branches_equal_the_original(golden, size, name, norm, projection, feature):
    def take(key):
        return torch.from_numpy(golden[f"{size}_{key}"])

    model = golden_encoder(golden, f"{size}_W", norm, projection, tags=take("tags"))
    tags = model.embed_tags(take("logits"))
    audio = model.encode_audio(take(feature), tags)
    text = model.encode_text(take("caption"))
    for ours, theirs in (
        (audio, f"{name}_out"),
        (text, "SentEncoder_out"),
        (tags, "Sauvegarde_tag_branch"),
    ):
        np.testing.assert_allclose(ours.detach(), take(theirs), rtol=0, atol=2e-6)


def test_the_model_of_the_tags_alone_gives_the_tag_embedding():
    model = small_model()
    logits = torch.randn(3, 7)
    tags = model.embed_tags(logits)
    torch.testing.assert_close(model.tags_alone().encode_audio(logits, tags), tags)
    assert model.ratio == 0.7


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_ratio_weighs_projection_against_tags(ratio):
    model = small_model(ratio=ratio)
    logits = torch.randn(5, 7)
    projected = F.normalize(model.audio_projection(model.audio_norm(logits)), dim=-1)
    tags = model.embed_tags(logits)
    mixed = F.normalize(ratio * projected + (1 - ratio) * tags, dim=-1)
    torch.testing.assert_close(model.encode_audio(logits, tags), mixed)


def test_everything_trainable_gets_a_gradient():
    model = small_model(text_projection=True)
    logits = torch.randn(5, 7)
    audio = model.encode_audio(logits, model.embed_tags(logits))
    text = model.encode_text(torch.randn(5, 12))
    (audio * text.detach() + audio.detach() * text).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_initial_weights_follow_the_generator_alone():
    def weights(seed):
        generator = torch.Generator().manual_seed(seed)
        return DualEncoder(audio_size=7, text_size=12, generator=generator).audio_projection.weight

    torch.manual_seed(0)
    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))
    assert first.abs().max() <= (6 / 7) ** 0.5  # kaiming uniform: sqrt(6 / fan in)


def test_tags_must_fit_the_model():
    with pytest.raises(ValueError, match="tag table"):
        small_model(tags=False).encode_audio(torch.ones(2, 7), torch.ones(2, 12))


@pytest.mark.parametrize("options", [{}, {"text_projection": True, "tags": False}])
def test_a_model_is_rebuilt_from_its_weights(options):
    model = small_model(**options)
    rebuilt = DualEncoder.from_state(model.state_dict(), ratio=model.ratio)
    assert not rebuilt.training
    logits, sentences = torch.randn(3, 7), torch.randn(3, 12)
    audio, expected = (m.encode_audio(logits, m.embed_tags(logits)) for m in (rebuilt, model))
    assert torch.equal(audio, expected)
    assert torch.equal(rebuilt.encode_text(sentences), model.encode_text(sentences))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"audio_projection.weight": None}, KeyError),
        ({"audio_projection.weight": torch.ones(12)}, ValueError),
        ({"audio_norm.bias": torch.ones(6)}, RuntimeError),
        ({"audio_norm.bias": None}, RuntimeError),
        ({"text_projection.bias": torch.ones(12)}, RuntimeError),
        ({"tag_table": torch.ones(7, 11)}, ValueError),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, error):
    state = {**small_model().state_dict(), **change}
    with pytest.raises(error):
        DualEncoder.from_state({k: v for k, v in state.items() if v is not None}, ratio=0.8)


@pytest.mark.parametrize("with_tags", [True, False])
def test_an_embedding_is_the_sum_of_its_parts(with_tags):
    model = small_model(tags=with_tags, ratio=0.8)
    logits = torch.randn(4, 7)
    projection, tags, shares = model.explain_audio(logits, logits if with_tags else None)
    expected = model.encode_audio(logits, model.embed_tags(logits))
    if with_tags:
        torch.testing.assert_close(projection + tags, expected)
        torch.testing.assert_close(shares @ model.tag_table, tags)
        # 0.8 of a unit vector and 0.2 of another, both divided by the length of their sum.
        torch.testing.assert_close(projection.norm(dim=-1), 4 * tags.norm(dim=-1))
    else:
        torch.testing.assert_close(projection, expected)
        assert tags is shares is None
