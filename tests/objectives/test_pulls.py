"""Pulls between batches, against loops over all pairs and by hand."""

import pytest
import torch

from omicsmlm.objectives import ClusterAlignment, LatentReconstruction, MutualNeighbours, aligned, mutual_pairs


def close_to(x, rows, others, k):
    """The k rows among the others that are nearest to each row."""
    return {int(i): set(sorted(others.tolist(), key=lambda j: float((x[i] - x[j]).norm()))[:k]) for i in rows}


@pytest.mark.parametrize("k", [1, 3, 50])
def test_mutual_pairs_are_those_of_a_loop(k):
    torch.manual_seed(0)
    x = torch.randn(20, 2)
    a, b = torch.arange(0, 20, 2), torch.arange(1, 20, 2)
    near_a, near_b = close_to(x, a, b, k), close_to(x, b, a, k)
    expected = {(int(i), int(j)) for i in a for j in b if int(j) in near_a[int(i)] and int(i) in near_b[int(j)]}
    assert {tuple(pair) for pair in mutual_pairs(x, a, b, k).T.tolist()} == expected


@pytest.fixture
def census():
    """Two batches of two points each that belong together, and a third point that only batch 0 has."""
    x = torch.tensor([[0.0, 0], [10, 0], [0, 1], [10, 1], [100, 100]])
    return x, torch.tensor([[0], [0], [1], [1], [0]]), torch.tensor([3, 4, 6, 8, 9])


def test_before_a_census_nothing_is_pulled():
    for pull in (MutualNeighbours(), ClusterAlignment()):
        assert float(pull(torch.randn(3, 2), torch.arange(3))) == 0


def test_neighbours_pull_towards_the_partner_in_the_other_batch(census):
    x, covariates, rows = census
    pull = MutualNeighbours(n_neighbors=1)
    pull.take(x, covariates, rows)
    variance = float(x.var(0).sum())
    at = torch.tensor([0, 3])
    assert float(pull(x[at], rows[at])) == pytest.approx(1 / variance), "each is 1 from its partner"
    z = torch.tensor([[3.0, 1.0]], requires_grad=True)
    pull(z, rows[:1]).backward()
    torch.testing.assert_close(z.grad, (z - x[2]).detach() * 2 / variance)


def test_a_row_without_a_partner_or_outside_of_the_census_is_left_where_it_is(census):
    x, covariates, rows = census
    pull = MutualNeighbours(n_neighbors=1)
    pull.take(x, covariates, rows)
    assert float(pull(torch.randn(3, 2), torch.tensor([9, 5, 1000]))) == 0


def test_rows_of_unknown_batches_have_no_partners(census):
    x, covariates, rows = census
    pull = MutualNeighbours(n_neighbors=1)
    pull.take(x, torch.full_like(covariates, -1), rows)
    assert float(pull(x + 1, rows)) == 0


def test_a_new_census_forgets_the_old_pairs(census):
    x, covariates, rows = census
    pull = MutualNeighbours(n_neighbors=1)
    pull.take(x, covariates, rows)
    pull.take(x, torch.zeros_like(covariates), rows)
    assert float(pull(x + 1, rows)) == 0


def test_what_was_found_can_be_forgotten(census):
    for pull in (MutualNeighbours(n_neighbors=1), ClusterAlignment(n_clusters=1)):
        pull.take(*census)
        assert float(pull(census[0] + 1, census[2])) > 0
        pull.forget()
        assert float(pull(census[0] + 1, census[2])) == 0


def test_one_row_alone_is_not_pulled(census):
    for pull in (MutualNeighbours(n_neighbors=1), ClusterAlignment(n_clusters=1)):
        pull.take(*(part[:1] for part in census))
        assert torch.isfinite(pull(census[0][:1] + 1, census[2][:1]))


def test_partners_are_drawn_among_all(census):
    x = torch.tensor([[0.0], [1.0], [2.0]])
    pull = MutualNeighbours(n_neighbors=2)
    pull.take(x, torch.tensor([[0], [1], [1]]), torch.arange(3))
    torch.manual_seed(0)
    drawn = {round(float(pull(x[:1], torch.tensor([0])) * x.var(0).sum()), 4) for _ in range(30)}
    assert drawn == {1.0, 4.0}


def test_batches_of_a_cluster_meet_in_the_middle():
    x = torch.tensor([[0.0, 0]] * 3 + [[2.0, 0]] * 3 + [[50.0, 1]] * 3 + [[70.0, 0]] * 2)
    cluster = torch.tensor([0] * 6 + [1] * 5)
    batch = torch.tensor([0] * 3 + [1] * 3 + [0] * 3 + [1] * 2)
    moved = aligned(x, cluster, batch, 0)
    torch.testing.assert_close(moved[:6], torch.tensor([[1.0, 0]] * 6))
    assert torch.equal(moved[6:], x[6:]), "a cluster with one batch of size stays, and so does a batch of two rows"
    assert torch.equal(x[0], torch.zeros(2)), "the embedding itself is not changed"


def test_rows_of_unknown_batches_are_not_aligned():
    x = torch.tensor([[0.0]] * 3 + [[2.0]] * 3)
    assert torch.equal(aligned(x, torch.zeros(6), torch.tensor([0] * 3 + [-1] * 3), 0), x)


def test_shrinkage_halves_a_shift_at_as_many_rows():
    x = torch.tensor([[0.0]] * 5 + [[2.0]] * 5)
    moved = aligned(x, torch.zeros(10), torch.tensor([0] * 5 + [1] * 5), 5)
    torch.testing.assert_close(moved, torch.tensor([[0.5]] * 5 + [[1.5]] * 5))


def test_alignment_pulls_towards_the_moved_rows():
    torch.manual_seed(0)
    batch = torch.arange(60) % 2
    x = torch.randn(60, 2) + 4.0 * batch[:, None]
    pull = ClusterAlignment(n_clusters=1, n_shrinkage=0)
    pull.take(x, batch[:, None], torch.arange(60))
    target = aligned(x, torch.zeros(60), batch, 0)
    expected = (x - target).square().sum(1).mean() / x.var(0).sum()
    assert float(pull(x, torch.arange(60))) == pytest.approx(float(expected))
    assert float(pull(target, torch.arange(60))) == pytest.approx(0, abs=1e-9)


def test_the_objective_passes_the_census_on(census):
    pull = MutualNeighbours(n_neighbors=1)
    objective = LatentReconstruction(
        {}, {}, kl_weight=0, kl_warmup=0, adversary_weight=0, pulls={"neighbours": (pull, 2.0)}
    )
    objective.take(*census)
    assert float(pull(census[0], census[2])) > 0


@pytest.mark.parametrize(("strength", "share"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (3.0, 1.0)])
def test_the_strength_is_the_share_of_the_way(strength, share):
    z = torch.cat([torch.zeros(30, 2), torch.full((30, 2), 4.0)]) + 0.1 * torch.randn(60, 2)
    batch = torch.arange(60)[:, None] // 30
    whole, part = ClusterAlignment(n_clusters=1), ClusterAlignment(n_clusters=1, strength=strength)
    for pull in (whole, part):
        pull.take(z, batch, torch.arange(60))
    at = torch.arange(60)
    torch.testing.assert_close(part._targets(at)[0] - z, share * (whole._targets(at)[0] - z))
