import torch

from omicsmlm.nn import CANDIDATES, SubsetLogits, mean_logits


def made():
    """Two modalities; models of their own for the first alone (code 1) and for both (3), none for the second (2)."""
    torch.manual_seed(0)
    logits = SubsetLogits(2, 2, 3, 5, 4)
    for name in ("special_vcg", "special_vc", "shared_cg", "shared_c", "residual_cd", "residual_c"):
        getattr(logits, name).copy_(torch.randn(getattr(logits, name).shape))
    logits.view_p[1], logits.view_p[3] = 0, 1
    logits.sharpness_v2.copy_(torch.tensor([[2.0, 0.5], [1.5, 1.0], [9.0, 0.7]]))
    logits.chosen_v.copy_(torch.tensor([0, 3, 1]))
    return logits


def test_each_row_is_answered_by_the_models_of_its_view():
    logits, x, z = made(), torch.randn(4, 5), torch.randn(4, 4)
    pattern = torch.tensor([3, 1, 2, 3])
    found = logits(x, pattern, z)
    for i, (view, special, shared) in enumerate([(1, 1.5, 1.0), (0, 2.0, 0.5), (2, 9.0, 0.7), (1, 1.5, 1.0)]):
        one = logits.shared_cg @ x[i] + logits.shared_c
        own = one if view == 2 else logits.special_vcg[view] @ x[i] + logits.special_vc[view]
        both = (special * own + shared * one) / 2
        added = shared * one + logits.residual_cd @ z[i] + logits.residual_c
        torch.testing.assert_close(found[i], torch.stack([special * own, shared * one, both, added]))
    picked = torch.stack([found[0, 3], found[1, 0], found[2, 1], found[3, 3]])
    torch.testing.assert_close(logits.chosen(x, pattern, z), picked)
    assert CANDIDATES[1] == "modality dropout"


def test_a_label_that_one_model_does_not_know_is_left_to_the_other():
    first, second = torch.tensor([[1.0, -torch.inf]]), torch.tensor([[3.0, 5.0]])
    torch.testing.assert_close(mean_logits(first, second), torch.tensor([[2.0, 5.0]]))


def test_before_a_fit_every_subset_is_predicted_by_the_model_of_all():
    logits = SubsetLogits(2, 3, 4, 5, 6)
    assert logits.view_p.tolist() == [3] * 4
    assert logits.sharpness_v2.tolist() == [[1, 1]] * 4
    assert logits.chosen_v.tolist() == [1] * 4
    assert not logits(torch.randn(2, 5), torch.tensor([1, 3]), torch.randn(2, 6)).any()
