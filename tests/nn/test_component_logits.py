"""Logits of the embedding and of regressions on components, against products by hand."""

import pytest
import torch

from omicsmlm.nn import ComponentLogits


def made():
    torch.manual_seed(0)
    logits = ComponentLogits(2, 3, 5, 4, 2)
    for name in ("direction_gk", "centre_k", "weight_2ck", "bias_2c", "embedding_cd", "embedding_c", "sharpness_3"):
        getattr(logits, name).normal_()
    return logits, torch.randn(6, 5), torch.tensor([3, 3, 1, 2, 3, 1]), torch.randn(6, 4)


def test_observations_with_all_modalities_have_logits_of_each_candidate():
    logits, x_ng, subset_n, z_nd = made()
    found_n4c = logits(x_ng, subset_n, z_nd)
    embedding_nc = (z_nd @ logits.embedding_cd.T + logits.embedding_c) * logits.sharpness_3[0]
    torch.testing.assert_close(found_n4c[:, 0], embedding_nc)
    component_nk = x_ng @ logits.direction_gk - logits.centre_k
    for k in (0, 1):
        expected_nc = (component_nk @ logits.weight_2ck[k].T + logits.bias_2c[k]) * logits.sharpness_3[k + 1]
        whole_n = subset_n == 3
        torch.testing.assert_close(found_n4c[whole_n, k + 1], expected_nc[whole_n])
        torch.testing.assert_close(found_n4c[~whole_n, k + 1], embedding_nc[~whole_n])
    whole_n, p_n4c = subset_n == 3, found_n4c.softmax(2)
    torch.testing.assert_close(p_n4c[whole_n, 3], (p_n4c[whole_n, 0] + p_n4c[whole_n, 1]) / 2)
    torch.testing.assert_close(found_n4c[~whole_n, 3], embedding_nc[~whole_n])


def test_the_mean_is_divided_by_the_discount_of_each_label():
    logits, x_ng, _, z_nd = made()
    logits.discount_c = torch.tensor([0.5, 1.0, 2.0])
    p_n4c = logits(x_ng, torch.full((6,), 3), z_nd).softmax(2)
    expected_nc = (p_n4c[:, 0] + p_n4c[:, 1]) / torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(p_n4c[:, 3], expected_nc / expected_nc.sum(1, keepdim=True))


def test_weights_saved_before_there_was_a_discount_have_none():
    logits, *inputs = made()
    again = ComponentLogits(2, 3, 5, 4, 2)
    again.discount_c.fill_(7)
    former = {name: value for name, value in logits.state_dict().items() if name != "discount_c"}
    again.load_state_dict(former)
    torch.testing.assert_close(again(*inputs), logits(*inputs))
    with pytest.raises(RuntimeError, match="centre_k"):
        again.load_state_dict({name: value for name, value in former.items() if name != "centre_k"})


def test_the_chosen_candidate_predicts():
    logits, *inputs = made()
    for k in range(4):
        logits.chosen_candidate.fill_(k)
        torch.testing.assert_close(logits.chosen(*inputs), logits(*inputs)[:, k])


def test_what_is_fitted_is_saved():
    logits, *inputs = made()
    again = ComponentLogits(2, 3, 5, 4, 2)
    again.load_state_dict(logits.state_dict())
    torch.testing.assert_close(again(*inputs), logits(*inputs))
    assert logits.state_dict().keys() >= {"chosen_candidate", "sharpness_3"}
