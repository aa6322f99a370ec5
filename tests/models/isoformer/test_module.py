"""The network of IsoFormer: streams, fusion, experts and their sets."""

from dataclasses import replace

import pytest
import torch

from omicsmlm._types import Grid
from omicsmlm.models.isoformer._module import IsoFormerModule
from omicsmlm.nn import PackedStates
from tests.objects import NO_BATCH, SMALL_ISOFORMER, letters_of

WIDTH = SMALL_ISOFORMER.width
DNA, PROTEIN = ("ACGTACGTTACG", "GGTACCATG", "TTTTACA"), ("MKVLA", "MACDEFW")
OF_DNA, OF_PROTEIN = [0, 1, 0, -1, 2], [-1, 0, 1, -1, 0]
N = 5


def made(**changes) -> tuple[IsoFormerModule, dict]:
    """A module of two sequences and a vector whose kernels and scores are not zero, and five observations."""
    torch.manual_seed(0)
    module = IsoFormerModule(["dna", "protein"], {"beta": 3}, {}, 2, replace(SMALL_ISOFORMER, **changes)).eval()
    for scores in module.scores.values():
        scores.rotation_fk.normal_(std=0.3)
    for kernel in module.kernels.values():
        kernel.landmark_mk.normal_()
        kernel.weight_mt.normal_()
        kernel.rate.fill_(0.05)
    visible_n3 = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]]).bool()
    beta = Grid(torch.rand(N, 3), visible_n3, torch.zeros(N))
    return module, {
        "dna": letters_of(*DNA, of_obs=OF_DNA),
        "protein": letters_of(*PROTEIN, of_obs=OF_PROTEIN),
        "beta": beta,
    }


def stream(module: IsoFormerModule, name: str, sequence: str) -> torch.Tensor:
    """States of one sequence alone, (p, d)."""
    packed = letters_of(sequence)
    states_pd = module.projections[name](module.encoders[name](packed).states)
    if name in module.summaries:
        states_pd = states_pd + module.summaries[name](module.scores[name](packed))
    return states_pd


def streams_by_hand(module: IsoFormerModule, views: dict) -> dict[str, PackedStates]:
    streams = {}
    for name, sequences, of_obs in (("dna", DNA, OF_DNA), ("protein", PROTEIN, OF_PROTEIN)):
        states = [stream(module, name, sequences[u]) if u >= 0 else torch.zeros(0, WIDTH) for u in of_obs]
        offsets = torch.tensor([0, *map(len, states)]).cumsum(0)
        streams[name] = PackedStates.of(torch.cat(states), offsets)
    beta, states = views["beta"], []
    for i in range(N):
        seen = beta.visible[i]
        read = module.readings["beta"](torch.cat([beta.values[i] * seen, seen.float()])[None])
        states.append(read if seen.any() else torch.zeros(0, WIDTH))
    streams["beta"] = PackedStates.of(torch.cat(states), torch.tensor([0, *map(len, states)]).cumsum(0))
    return streams


@torch.no_grad()
@pytest.mark.parametrize("composition", [True, False])
def test_the_embedding_is_the_fusion_of_streams_made_one_by_one(composition):
    module, views = made(composition=composition)
    expected = module.fusion(streams_by_hand(module, views))
    torch.testing.assert_close(module.encode(views).mean, expected, atol=1e-5, rtol=1e-4)
    outputs = module(views, NO_BATCH)
    torch.testing.assert_close(outputs.fused, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(outputs.predicted, module.head(expected), atol=1e-5, rtol=1e-4)
    assert outputs.fused.shape == (N, module.n_latent) == (N, 3 * WIDTH)
    assert not module.encode(views).log_variance.any()


@torch.no_grad()
def test_a_batch_without_any_sequence_has_an_empty_stream():
    module, views = made()
    views["dna"] = letters_of(of_obs=[-1] * N)
    expected = module.fusion(
        {**streams_by_hand(module, views), "dna": PackedStates.of(torch.zeros(0, WIDTH), torch.zeros(N + 1).long())}
    )
    torch.testing.assert_close(module.encode(views).mean, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_values_of_a_vector_that_were_not_measured_change_nothing():
    module, views = made()
    beta = views["beta"]
    other = {**views, "beta": beta._replace(values=torch.where(beta.visible, beta.values, 7.0))}
    torch.testing.assert_close(module.encode(other).mean, module.encode(views).mean)


# ---- experts ------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_each_expert_predicts_where_it_has_its_sequence():
    module, views = made()
    predicted_net, set_n = module.expert_predictions(views)
    assert module.experts == ["dna", "protein", "network"]
    assert set_n.tolist() == [1, 3, 3, 0, 3], "bit 0 is DNA, bit 1 protein"
    torch.testing.assert_close(predicted_net[:, 2], module(views, NO_BATCH).predicted)
    for e, (name, sequences, of_obs) in enumerate((("dna", DNA, OF_DNA), ("protein", PROTEIN, OF_PROTEIN))):
        for i, u in enumerate(of_obs):
            expected = torch.zeros(2)
            if u >= 0:
                expected = module.kernels[name](module.scores[name](letters_of(sequences[u])))[0]
                assert expected.abs().max() > 1e-3
            torch.testing.assert_close(predicted_net[i, e], expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_prediction_weights_experts_by_the_set_of_each_observation():
    module, views = made()
    module.weight_se.copy_(torch.rand(4, 3))
    predicted_net, _ = module.expert_predictions(views)
    found = module.predict(views)
    for i, s in enumerate((1, 3, 3, 0, 3)):
        expected = sum(module.weight_se[s, e] * predicted_net[i, e] for e in range(3))
        torch.testing.assert_close(found[i], expected)


def test_at_first_the_experts_of_an_observation_have_equal_weights():
    module, _ = made()
    module.weight_se.fill_(9.0)
    module.reset_weights()
    third, half = 1 / 3, 0.5
    expected = torch.tensor([[0, 0, 1], [half, 0, half], [0, half, half], [third, third, third]])
    torch.testing.assert_close(module.weight_se, expected)


@pytest.mark.parametrize(("composition", "kernel_expert"), [(True, True), (True, False), (False, True), (False, False)])
def test_composition_and_kernels_can_be_left_out(composition, kernel_expert):
    module, _ = made(composition=composition, kernel_expert=kernel_expert)
    names = ["dna", "protein"]
    assert list(module.summaries) == (names if composition else [])
    assert list(module.kernels) == (names if kernel_expert else [])
    assert list(module.scores) == (names if composition or kernel_expert else [])
    assert module.weight_se.shape == ((4, 3) if kernel_expert else (1, 1))


def test_the_initial_layer_is_the_embeddings_of_residues():
    module, _ = made()
    expected = [module.encoders[name].embedding.weight for name in ("dna", "protein")]
    assert [id(w) for w in module.initial_layer()] == [id(w) for w in expected]
