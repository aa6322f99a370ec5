"""Linear scores of risk: of an observation's own stratum, and of all."""

import torch

from omicsmlm.nn import LinearRisks


def test_scores_are_those_of_the_own_stratum_and_of_all():
    torch.manual_seed(0)
    risks, input_nf, stratum_n = LinearRisks(4, 3, 1), torch.randn(5, 4), torch.tensor([2, 0, 1, -1, 2])
    assert risks(input_nf, stratum_n).isnan().all(), "before any is fitted"
    risks.own_sf.copy_(torch.randn(3, 4))
    risks.pooled_f.copy_(torch.randn(4))
    risks.has_own_s.copy_(torch.tensor([True, False, True]))
    _, own_n, pooled_n = risks(input_nf, stratum_n).T
    assert own_n.isnan().tolist() == [False, False, True, True, False], "no model of stratum 1, and -1 is no stratum"
    assert pooled_n.isnan().all()
    for i in (0, 1, 4):
        torch.testing.assert_close(own_n[i], risks.own_sf[stratum_n[i]] @ input_nf[i])
    risks.has_pooled.fill_(True)
    _, again_n, pooled_n = risks(input_nf, stratum_n).T
    torch.testing.assert_close(again_n, own_n, equal_nan=True)
    torch.testing.assert_close(pooled_n, input_nf @ risks.pooled_f)


def test_the_score_of_covariates_alone_is_of_the_last_inputs():
    torch.manual_seed(0)
    risks, input_nf, stratum_n = LinearRisks(4, 3, 2), torch.randn(5, 4), torch.tensor([2, 0, 1, -1, 2])
    risks.covariate_k.copy_(torch.tensor([2.0, -1.0]))
    assert risks(input_nf, stratum_n)[:, 0].isnan().all(), "it is not fitted yet"
    risks.has_covariates.fill_(True)
    found_n3 = risks(input_nf, stratum_n)
    torch.testing.assert_close(found_n3[:, 0], 2 * input_nf[:, 2] - input_nf[:, 3])
    assert found_n3[:, 1:].isnan().all()
    assert LinearRisks(4, 3, 0)(input_nf, stratum_n).isnan().all(), "there are no covariates"


def test_the_state_of_nothing_fitted_is_zero_and_saved():
    state = LinearRisks(2, 3, 2).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "covariate_k": (2,),
        "has_covariates": (),
        "own_sf": (3, 2),
        "pooled_f": (2,),
        "has_own_s": (3,),
        "has_pooled": (),
    }
    assert not any(value.any() for value in state.values())
