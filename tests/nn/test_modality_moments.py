"""Moments of modalities before and after a training, against those worked out by hand."""

import numpy as np
import torch

from omicsmlm.nn import ModalityMoments

NAMES = ["rna", "atac"]


def present(has_nm):
    return {name: has_nm[:, m] for m, name in enumerate(NAMES)}


def halves(rng, n=40):
    x_nd = torch.from_numpy(rng.normal(size=(2 * n, 2)) * [2.0, 1.0]).float()
    has_nm = torch.arange(2 * n)[:, None] // n == torch.arange(2)
    return x_nd, has_nm


def test_a_map_that_all_modalities_share_is_kept(rng):
    x_nd, has_nm = halves(rng)
    moments, z_nd = ModalityMoments(NAMES, 2), 1.5 * x_nd + torch.tensor([3.0, -1.0])
    moments.match(x_nd, z_nd, has_nm)
    torch.testing.assert_close(moments(z_nd, present(has_nm)), z_nd, atol=1e-4, rtol=1e-4)


def test_what_moves_one_modality_against_the_other_is_taken_back(rng):
    x_nd, has_nm = halves(rng)
    moments, z_nd = ModalityMoments(NAMES, 2), x_nd.clone()
    z_nd[:40] = 1.2 * z_nd[:40] + torch.tensor([0.0, 2.0])
    moments.match(x_nd, z_nd, has_nm)
    found_nd = moments(z_nd, present(has_nm))
    x, z, found = (part.double().numpy() for part in (x_nd, z_nd, found_nd))
    # by hand: all of them keep the mean and spread within modalities that the training gave them
    common = np.sqrt((z[:40].var(0) + z[40:].var(0)) / (x[:40].var(0) + x[40:].var(0)))
    offset = z.mean(0) - common * x.mean(0)
    np.testing.assert_allclose(found, common * x + offset, atol=1e-4)
    again = ModalityMoments(NAMES, 2)
    again.load_state_dict(moments.state_dict())
    torch.testing.assert_close(again(z_nd, present(has_nm)), found_nd)
    again.match(x_nd, found_nd, has_nm)  # nothing is left to be corrected
    torch.testing.assert_close(again(z_nd, present(has_nm)), found_nd, atol=1e-4, rtol=1e-4)


def test_corrections_of_two_trainings_add_up(rng):
    x_nd, has_nm = halves(rng)
    moments = ModalityMoments(NAMES, 2)
    raw_nd = x_nd.clone()
    for scale in (1.2, 1.1):
        before_nd = moments(raw_nd, present(has_nm))
        raw_nd[:40] = scale * raw_nd[:40] + 0.5
        moments.match(before_nd, moments(raw_nd, present(has_nm)), has_nm)
    found_nd = moments(raw_nd, present(has_nm))
    gap = (found_nd[:40].mean(0) - found_nd[40:].mean(0)) / found_nd[40:].std(0)
    wanted = (x_nd[:40].mean(0) - x_nd[40:].mean(0)) / x_nd[40:].std(0)
    torch.testing.assert_close(gap, wanted, atol=1e-4, rtol=1e-4)


def test_an_observation_with_both_has_the_mean_of_the_maps_and_one_with_neither_stays(rng):
    moments = ModalityMoments(NAMES, 1)
    moments.scale_md.copy_(torch.tensor([[2.0], [1.0]]))
    moments.offset_md.copy_(torch.tensor([[0.0], [4.0]]))
    has_nm = torch.tensor([[True, False], [False, True], [True, True], [False, False]])
    found_nd = moments(torch.full((4, 1), 3.0), present(has_nm))
    assert found_nd[:, 0].tolist() == [6.0, 7.0, 6.5, 3.0]


def test_few_observations_of_a_modality_alone_are_left_as_they_are(rng):
    x_nd, has_nm = halves(rng)
    has_nm[:15] = True  # 25 with RNA alone
    moments = ModalityMoments(NAMES, 2)
    moments.match(x_nd, x_nd * torch.arange(1, 81)[:, None], has_nm)
    assert torch.equal(moments.scale_md, torch.ones(2, 2))
    assert not moments.offset_md.any()


def test_a_dimension_without_variance_is_shifted_and_no_more(rng):
    x_nd, has_nm = halves(rng)
    x_nd[:, 1] = 0
    z_nd = x_nd.clone()
    z_nd[:40, 1] = 1.0
    moments = ModalityMoments(NAMES, 2)
    moments.match(x_nd, z_nd, has_nm)
    found_nd = moments(z_nd, present(has_nm))
    assert found_nd.isfinite().all()
    torch.testing.assert_close(found_nd[:, 1], torch.full((80,), 0.5), atol=1e-5, rtol=0)
