"""The state of a sample, against loops over its visible genes."""

import math

import numpy as np
import pytest
import torch

from omicsmlm._types import Grid
from omicsmlm.models.mojo import _row
from omicsmlm.models.mojo._row import RowState

N, G, B, K, D = 4, 6, 5, 3, 2


@pytest.fixture
def row() -> RowState:
    torch.manual_seed(0)
    row = RowState(["rna", "meth"], G, B, K, D)
    for m in range(2):
        row.get_buffer(f"value_{m}").copy_(torch.randn(G, B))
    row.n_measured_1.fill_(4.0)
    torch.nn.init.normal_(row.absent)
    return row.eval()


@pytest.fixture
def grids() -> dict[str, Grid]:
    """The first sample has no methylation."""
    generator, grids = torch.Generator().manual_seed(1), {}
    for name in ("rna", "meth"):
        bins = torch.randint(0, B, (N, G), generator=generator).float()
        visible = torch.rand(N, G, generator=generator) < 0.7
        if name == "meth":
            visible[0], visible[:, 4:] = False, False
        grids[name] = Grid(bins, visible, bins.sum(1))
    return grids


@torch.no_grad()
def test_a_new_state_knows_no_value_counts_all_genes_as_measured_and_is_read_as_it_is(grids):
    torch.manual_seed(0)
    row = RowState(["rna", "meth"], 500, B, 8, D)
    for m in range(2):
        assert row.get_buffer(f"n_measured_{m}") == 500
        assert row.get_buffer(f"value_{m}").shape == (500, B)
        assert not row.get_buffer(f"value_{m}").any()
        assert float(row.weights[m].std()) == pytest.approx(500**-0.5, rel=0.1)
    assert not row.absent.any()
    state_nk = torch.randn(3, 8)
    torch.testing.assert_close(row.readout(state_nk), state_nk / state_nk.norm(dim=1, keepdim=True) * 8**0.5)
    assert [row.hidden.out_features, row.decoder_hidden.out_features] == [4 * 8, 128]


@torch.no_grad()
def test_the_linear_part_is_a_sum_over_visible_genes(row, grids):
    expected = torch.zeros(N, K)
    for i in range(N):
        for m, (name, n_measured) in enumerate((("rna", 6), ("meth", 4))):
            seen = [g for g in range(G) if grids[name].visible[i, g]]
            for g in seen:
                value = row.get_buffer(f"value_{m}")[g, int(grids[name].values[i, g])]
                expected[i] += value * row.weights[m][g] / math.sqrt(len(seen) / n_measured)
            if not seen:
                expected[i] += row.absent[m]
    torch.testing.assert_close(row.linear(grids), expected)
    mean_nd = torch.randn(N, D)
    mixed = torch.nn.functional.gelu(row.hidden(row.norm(torch.cat([expected, mean_nd], 1))))
    torch.testing.assert_close(row(grids, mean_nd), expected + row.out(mixed))


@torch.no_grad()
def test_values_are_predicted_from_the_state_alone(row):
    state = torch.randn(N, K)
    for m, (name, found) in enumerate(row.predicted(state).items()):
        assert name == row.modalities[m]
        hidden = torch.nn.functional.gelu(row.decoder_hidden(state))
        torch.testing.assert_close(found, row.decoders[m](state) + row.decoders_out[m](hidden))


def states() -> torch.Tensor:
    """Many states whose main directions are no axes."""
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(K, K)))
    return torch.from_numpy((rng.normal(size=(500, K)) * [4.0, 1.0, 0.5]) @ turned + [3.0, -1.0, 2.0]).float()


@pytest.mark.parametrize(("power", "expected"), [(0.0, 2.0), (0.5, 1.0), (1.0, 0.0)])
def test_whitening_takes_the_variance_of_each_direction_to_a_power(row, power, expected):
    x = states()
    row.fit_readout(x, power)
    white = (x - row.centre_k) @ row.whitening_kk
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)
    before = np.linalg.eigvalsh(np.cov(x.T.numpy(), bias=True))
    after = np.linalg.eigvalsh(np.cov(white.T.numpy(), bias=True))
    np.testing.assert_allclose(after, before ** (expected / 2), rtol=1e-3)
    found = row.readout(x)
    torch.testing.assert_close(found.square().sum(1), torch.full((500,), float(K)))
    torch.testing.assert_close(found, white / white.norm(dim=1, keepdim=True) * K**0.5)


def test_a_direction_without_variance_is_not_brought_up(row):
    x = states()
    x[:, 2] = 5.0
    row.fit_readout(x, 1.0)
    _, *variances = np.linalg.eigvalsh(np.cov(x.T.numpy(), bias=True))
    assert min(variances) > 1e-3 * max(variances)
    expected = sorted([*variances, max(variances)], reverse=True)
    np.testing.assert_allclose(np.linalg.eigvalsh(row.whitening_kk.numpy()), np.power(expected, -0.5), rtol=1e-3)
    row.fit_readout(torch.ones(3, K), 1.0)
    torch.testing.assert_close(row.whitening_kk, torch.eye(K))
    assert torch.isfinite(row.readout(torch.ones(1, K))).all()


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert (_row.MIXING, _row.DECODER_WIDTH, _row.LEAST_FRACTION, _row.LEAST_VARIANCE) == (4, 128, 1e-3, 1e-3)
