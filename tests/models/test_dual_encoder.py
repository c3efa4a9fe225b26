import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.dual_encoder import DualEncoder, tag_embedding

# The golden numbers' names for the two forms of the original audio encoder.
LOGITS_BRANCH = ("Sauvegarde", "layer_norm", "projection_layer", "logits")
SCENE_BRANCH = (
    "PasstEncoder",
    "scene_embedding_layer_norm",
    "scene_embedding_projection_layer",
    "scene",
)


def golden_encoder(golden, weights: str, norm: str, projection: str, *, ratio=0.8, tags=None):
    """A dual encoder with the weights that the golden numbers name."""

    def take(layer, part):
        return torch.from_numpy(golden[f"{weights}_{layer}.{part}"])

    weight = take(projection, "weight")
    model = DualEncoder(
        audio_size=weight.shape[1], text_size=weight.shape[0], tag_table=tags, ratio=ratio
    ).to(weight.dtype)
    model.load_state_dict(
        {
            "audio_norm.weight": take(norm, "weight"),
            "audio_norm.bias": take(norm, "bias"),
            "audio_projection.weight": weight,
            "audio_projection.bias": take(projection, "bias"),
            "tag_table": tags,
        }
    )
    return model


def random_encoder(audio_size, text_size, *, with_tags, generator):
    """A dual encoder in double precision, with as many tags as audio numbers, or none."""
    table = torch.nn.functional.normalize(
        torch.randn(audio_size, text_size, generator=generator, dtype=torch.float64), dim=-1
    )
    return DualEncoder(
        audio_size=audio_size,
        text_size=text_size,
        tag_table=table if with_tags else None,
        ratio=0.7,
        generator=generator,
    ).double()


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


def test_tag_embedding_by_hand():
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    logits = torch.tensor([[0.0, float("-inf")], [0.0, 0.0]])  # probabilities (½, 0) and (½, ½)
    half = 0.5**0.5
    expected = torch.tensor([[1.0, 0.0], [half, half]])
    torch.testing.assert_close(tag_embedding(logits, table), expected)


def test_the_tags_alone_are_what_the_tag_embedding_says():
    generator = torch.Generator().manual_seed(0)
    model = random_encoder(5, 8, with_tags=True, generator=generator)
    logits = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    alone = model.tags_alone().double()
    tags = model.embed_tags(logits)
    torch.testing.assert_close(alone.encode_audio(logits, tags), tags)
    assert model.ratio == 0.7


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_ratio_weighs_projection_against_tags(ratio):
    generator = torch.Generator().manual_seed(1)
    table = torch.nn.functional.normalize(torch.randn(7, 12, generator=generator), dim=-1)
    logits = torch.randn(5, 7, generator=generator)
    model = DualEncoder(
        audio_size=7, text_size=12, tag_table=table, ratio=ratio, generator=generator
    )
    alone = DualEncoder(audio_size=7, text_size=12)
    alone.load_state_dict({k: v for k, v in model.state_dict().items() if k != "tag_table"})
    projected = alone.encode_audio(logits, None)
    tags = model.embed_tags(logits)
    mixed = torch.nn.functional.normalize(ratio * projected + (1 - ratio) * tags, dim=-1)
    torch.testing.assert_close(model.encode_audio(logits, tags), mixed)


def test_everything_trainable_gets_a_gradient():
    generator = torch.Generator().manual_seed(1)
    model = DualEncoder(
        audio_size=7,
        text_size=12,
        tag_table=torch.randn(7, 12, generator=generator),
        text_projection=True,
        generator=generator,
    )
    logits = torch.randn(5, 7, generator=generator)
    audio = model.encode_audio(logits, model.embed_tags(logits))
    text = model.encode_text(torch.randn(5, 12, generator=generator))
    (audio * text.detach() + audio.detach() * text).sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_initial_weights_follow_the_generator_alone():
    def weights(seed):
        model = DualEncoder(
            audio_size=7, text_size=12, generator=torch.Generator().manual_seed(seed)
        )
        return model.audio_projection.weight

    torch.manual_seed(0)
    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))
    assert first.abs().max() <= (6 / 7) ** 0.5  # kaiming uniform: sqrt(6 / fan in)


def test_tags_must_fit_the_model():
    with pytest.raises(ValueError, match="tag table"):
        DualEncoder(audio_size=7, text_size=12).encode_audio(torch.ones(2, 7), torch.ones(2, 12))


@pytest.mark.parametrize("with_tags", [True, False])
def test_the_audio_branchs_gradient_is_that_of_autograd(with_tags):
    """The closed form, against the definition written out in PyTorch's own operations."""
    generator = torch.Generator().manual_seed(0)
    model = random_encoder(7, 5, with_tags=with_tags, generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(
                parameter.shape, generator=generator, dtype=torch.float64
            )
    features = torch.randn(6, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    tags = model.embed_tags(features.detach())
    weights = torch.randn(6, 5, generator=generator, dtype=torch.float64)

    def written_out():
        unit = torch.nn.functional.normalize
        audio = unit(model.audio_projection(model.audio_norm(features)), dim=-1)
        return unit(0.7 * audio + 0.3 * tags, dim=-1) if with_tags else audio

    results = []
    for audio in (model.encode_audio(features, tags), written_out()):
        inputs = [features, *model.parameters()]
        results.append([audio, *torch.autograd.grad((audio * weights).sum(), inputs)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("with_tags", [True, False])
def test_an_embedding_is_the_sum_of_its_parts(with_tags):
    generator = torch.Generator().manual_seed(0)
    table = F.normalize(torch.randn(9, 6, generator=generator), dim=-1)
    model = DualEncoder(
        audio_size=9, text_size=6, tag_table=table if with_tags else None, generator=generator
    )
    logits = torch.randn(4, 9, generator=generator)
    given = logits if with_tags else None
    projection, tags, shares = model.explain_audio(logits, given)
    expected = model.encode_audio(logits, model.embed_tags(logits))
    if with_tags:
        torch.testing.assert_close(projection + tags, expected)
        torch.testing.assert_close(shares @ table, tags)
        # 0.8 of a unit vector against 0.2 of one, before both are shortened alike.
        torch.testing.assert_close(
            projection.norm(dim=-1) / tags.norm(dim=-1), torch.full((4,), 4.0)
        )
    else:
        torch.testing.assert_close(projection, expected)
        assert tags is shares is None
