"""The network of MOJO: the published number of parameters, and each step of its forward pass."""

from dataclasses import replace

import pytest
import torch

from omicsmlm import MOJOConfig
from omicsmlm._types import Grid
from omicsmlm.models.mojo._module import MOJOModule
from tests.objects import NO_BATCH, SMALL_MOJO

N_SAMPLES, N_GENES = 5, 30
PUBLISHED = replace(SMALL_MOJO, row_width=0, genes_per_position=1, n_levels=2)


def made(config: MOJOConfig = PUBLISHED) -> tuple[MOJOModule, dict[str, Grid]]:
    torch.manual_seed(0)
    bins_ng = torch.randint(0, SMALL_MOJO.n_bins, (2, N_SAMPLES, N_GENES)).float()
    visible_ng = torch.rand(2, N_SAMPLES, N_GENES) > 0.3
    grids = {name: Grid(bins_ng[m], visible_ng[m], bins_ng[m].sum(1)) for m, name in enumerate(("rna", "methylation"))}
    return MOJOModule(list(grids), N_GENES, config).eval(), grids


both = pytest.mark.parametrize("config", [PUBLISHED, SMALL_MOJO], ids=["published", "with a state"])


def test_the_paper_size_has_exactly_as_many_parameters_part_by_part():
    """As listed in the paper's configuration for 17,116 genes, padded to 17,152."""
    with torch.device("meta"):
        module = MOJOModule(["rna", "methylation"], 17_116, MOJOConfig.paper())

    def size(*parts):
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    assert module.embedding.n_positions == 17_152 == 67 * 2**8
    assert size(module.embedding.tokens) == 33_792
    assert size(module.embedding.features, module.embedding.projection) == 3_481_856
    assert size(module.stem) == 1_966_592
    assert size(module.down) == 12_607_488
    assert size(module.transformer) == 21_004_288
    assert size(module.up) == 12_607_488
    assert size(module.heads) == 593_028
    assert size(module) == 52_294_532


@torch.no_grad()
def test_the_forward_pass_is_the_published_sequence_of_layers():
    """Sum of embeddings → stem → GELU → down → transformer → mean, and → up → a head per modality."""
    module, grids = made()
    outputs = module(grids, NO_BATCH)
    x = module.embedding(grids)
    x = module.stem(x)
    x = 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))  # GELU, as it was published
    short, skipped = module.down(x)
    short = module.transformer(short)
    assert short.shape == (N_SAMPLES, 32 // 4, SMALL_MOJO.width), "30 genes are padded to 32 and halved twice"
    torch.testing.assert_close(outputs.encoded.mean, short.sum(1) / 8)
    whole = module.up(short, skipped)
    everywhere = torch.ones(N_SAMPLES, N_GENES, dtype=torch.bool)
    assert list(outputs.token_logits) == ["rna", "methylation"]
    for head, reading in zip(module.heads, outputs.token_logits.values(), strict=True):
        torch.testing.assert_close(reading.logits(everywhere), head(whole).logits(everywhere))


@torch.no_grad()
def test_the_state_of_a_sample_enters_the_up_tower_and_its_values_the_heads():
    module, grids = made(SMALL_MOJO)
    outputs = module(grids, NO_BATCH)
    tokens = module.embedding(grids)
    pairs = torch.cat([tokens[:, ::2], tokens[:, 1::2]], 2)
    x = torch.nn.functional.gelu(module.stem(pairs), approximate="tanh")
    short, skipped = module.down(x)
    assert short.shape == (N_SAMPLES, 32 // 4, SMALL_MOJO.width)
    short = module.transformer(short)
    state = module.row(grids, short.mean(1))
    torch.testing.assert_close(module.row_state(grids), state)
    torch.testing.assert_close(outputs.encoded.mean, module.row.readout(state))
    of_pairs = module.patches.of_position(module.up(short + module.row.to_short(state)[:, None], skipped))
    whole = torch.empty(N_SAMPLES, 32, 16)
    whole[:, ::2], whole[:, 1::2] = of_pairs[..., :16], of_pairs[..., 16:]
    whole += module.patches.of_token(tokens)
    values = module.row.predicted(state)
    everywhere = torch.ones(N_SAMPLES, N_GENES, dtype=torch.bool)
    for m, name in enumerate(grids):
        torch.testing.assert_close(outputs.values[name], values[name])
        told = whole.clone()
        told[:, :N_GENES] += values[name][:, :, None] * module.row.value_directions[m]
        found = outputs.token_logits[name].logits(everywhere)
        torch.testing.assert_close(found, module.heads[m](told).logits(everywhere))


@torch.no_grad()
def test_the_mean_alone_is_the_embedding_where_there_is_no_state():
    module, grids = made()
    assert module.row is None
    assert module(grids, NO_BATCH).values == {}
    assert module.n_latent == SMALL_MOJO.width


@both
@torch.no_grad()
def test_the_embedding_alone_is_that_of_the_forward_pass_and_has_no_uncertainty(config):
    module, grids = made(config)
    outputs, encoded = module(grids, NO_BATCH), module.encode(grids)
    torch.testing.assert_close(encoded.mean, outputs.encoded.mean)
    assert encoded.mean.shape == (N_SAMPLES, module.n_latent) == (N_SAMPLES, config.row_width or 16)
    assert not encoded.log_variance.any()
    assert not outputs.encoded.log_variance.any()


@both
@torch.no_grad()
def test_what_is_not_visible_changes_nothing(config):
    module, grids = made(config)
    other = {n: g._replace(values=torch.where(g.visible, g.values, g.values + 3)) for n, g in grids.items()}
    torch.testing.assert_close(module.encode(other).mean, module.encode(grids).mean, rtol=0, atol=0)


def test_the_initial_layer_is_the_embedding_of_the_genes():
    module, _ = made()
    (weight,) = module.initial_layer()
    assert weight is module.embedding.features.weight
    module, _ = made(SMALL_MOJO)
    weight, *of_row = module.initial_layer()
    assert weight is module.embedding.features.weight
    assert [a is b for a, b in zip(of_row, module.row.weights, strict=True)] == [True, True]
