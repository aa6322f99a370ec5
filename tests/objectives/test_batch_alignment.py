"""Pulls between batches, against loops over all pairs and by hand."""

import pytest
import torch
from sklearn.cluster import KMeans

from omicsmlm._draws import Draws
from omicsmlm._types import Batch
from omicsmlm.objectives import (
    ClusterAlignment,
    LatentReconstruction,
    MutualNeighbours,
    _batch_alignment,
    batch_shifts,
    mutual_pairs,
    shifts_of,
)
from omicsmlm.objectives._batch_alignment import _sample


def batch_of(rows, covariates=None, *, whole=None, seed=0):
    """Observations of an object, of one batch unless said otherwise."""
    covariates = torch.zeros(len(rows), 1, dtype=torch.int64) if covariates is None else covariates
    return Batch({}, {}, {}, covariates, rows, draws=Draws(seed, rows), unmasked_nd=whole)


def aligned(x, cluster, batch, n_shrinkage):
    """Where observations are moved by the shifts of their clusters and batches."""
    cluster = cluster.long()
    shift = batch_shifts(x, cluster, batch, int(cluster.max()) + 1, n_shrinkage)
    return x + shifts_of(shift, cluster, batch)


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
def memory():
    """Two batches of two points each that belong together, and a third point that only batch 0 has."""
    x = torch.tensor([[0.0, 0], [10, 0], [0, 1], [10, 1], [100, 100]])
    return x, torch.tensor([[0], [0], [1], [1], [0]]), torch.tensor([3, 4, 6, 8, 9])


def test_before_a_memory_nothing_is_pulled():
    for pull in (MutualNeighbours(), ClusterAlignment()):
        assert float(pull(torch.randn(3, 2), batch_of(torch.arange(3)))) == 0


def test_neighbours_pull_towards_the_partner_in_the_other_batch(memory):
    x, covariates, rows = memory
    pull = MutualNeighbours(n_neighbors=1)
    pull.refresh(x, covariates, rows)
    variance = float(x.var(0).sum())
    at = torch.tensor([0, 3])
    assert float(pull(x[at], batch_of(rows[at]))) == pytest.approx(1 / variance), "each is 1 from its partner"
    z = torch.tensor([[3.0, 1.0]], requires_grad=True)
    pull(z, batch_of(rows[:1])).backward()
    torch.testing.assert_close(z.grad, (z - x[2]).detach() * 2 / variance)


def test_a_row_without_a_partner_or_outside_of_the_memory_is_left_where_it_is(memory):
    x, covariates, rows = memory
    pull = MutualNeighbours(n_neighbors=1)
    pull.refresh(x, covariates, rows)
    assert float(pull(torch.randn(3, 2), batch_of(torch.tensor([9, 5, 1000])))) == 0


def test_rows_of_unknown_batches_have_no_partners(memory):
    x, covariates, rows = memory
    pull = MutualNeighbours(n_neighbors=1)
    pull.refresh(x, torch.full_like(covariates, -1), rows)
    assert float(pull(x + 1, batch_of(rows))) == 0


def test_a_new_memory_forgets_the_old_pairs(memory):
    x, covariates, rows = memory
    pull = MutualNeighbours(n_neighbors=1)
    pull.refresh(x, covariates, rows)
    pull.refresh(x, torch.zeros_like(covariates), rows)
    assert float(pull(x + 1, batch_of(rows))) == 0


@pytest.mark.parametrize("is_whole", [True, False])
def test_of_one_batch_neighbours_are_in_the_other_half(is_whole):
    x = torch.cat([torch.zeros(40, 2), torch.full((40, 2), 9.0)]) + 0.1 * torch.arange(80)[:, None]
    loss = MutualNeighbours(n_neighbors=5, halves=True)
    pairs = []
    for _ in range(2):
        loss.refresh(x, torch.zeros(80, 1).long(), torch.arange(80), is_whole=is_whole)
        first = torch.repeat_interleave(torch.arange(80), loss._count_m)
        pairs.append(set(zip(first.tolist(), loss._partner_p.tolist(), strict=True)))
        assert {(b, a) for a, b in pairs[-1]} == pairs[-1], "they are mutual"
        assert max(abs(a - b) for a, b in pairs[-1]) < 40, "and of one cluster"
        side = {int(first[0]): 0}
        for _ in range(80):  # two halves without pairs of their own: the pairs make a bipartite graph
            for a, b in pairs[-1]:
                if a in side:
                    assert side.setdefault(b, 1 - side[a]) != side[a]
        assert float(loss(x + 1, batch_of(torch.arange(80))._replace(unmasked_nd=x))) > 0
    assert pairs[0] != pairs[1], "the halves are drawn anew"


def test_no_half_is_sought_in_where_there_are_batches(memory):
    x, covariates, rows = memory
    for halves in (True, False):
        loss = MutualNeighbours(n_neighbors=1, halves=halves)
        loss.refresh(x, covariates, rows)
        assert loss._partner_p.tolist() == [2, 3, 0, 1]


def test_what_was_found_can_be_forgotten(memory):
    for pull in (MutualNeighbours(n_neighbors=1), ClusterAlignment(n_clusters=1)):
        pull.refresh(*memory)
        assert float(pull(memory[0] + 1, batch_of(memory[2]))) > 0
        pull.clear()
        assert float(pull(memory[0] + 1, batch_of(memory[2]))) == 0


def test_one_row_alone_is_not_pulled(memory):
    for pull in (MutualNeighbours(n_neighbors=1), ClusterAlignment(n_clusters=1)):
        pull.refresh(*(part[:1] for part in memory))
        assert torch.isfinite(pull(memory[0][:1] + 1, batch_of(memory[2][:1])))


def test_partners_are_drawn_among_all(memory):
    x = torch.tensor([[0.0], [1.0], [2.0]])
    pull = MutualNeighbours(n_neighbors=2)
    pull.refresh(x, torch.tensor([[0], [1], [1]]), torch.arange(3))
    one = torch.tensor([0])
    drawn = {round(float(pull(x[:1], batch_of(one, seed=seed)) * x.var(0).sum()), 4) for seed in range(30)}
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
    pull.refresh(x, batch[:, None], torch.arange(60))
    target = aligned(x, torch.zeros(60), batch, 0)
    expected = (x - target).square().sum(1).mean() / x.var(0).sum()
    assert float(pull(x, batch_of(torch.arange(60)))) == pytest.approx(float(expected))
    assert float(pull(target, batch_of(torch.arange(60)))) == pytest.approx(0, abs=1e-9)


def test_the_objective_passes_the_memory_on(memory):
    pull = MutualNeighbours(n_neighbors=1)
    objective = LatentReconstruction(
        {}, {}, kl_weight=0, kl_warmup=0, adversary_weight=0, alignment_losses={"neighbours": (pull, 2.0)}
    )
    objective.refresh(*memory)
    assert float(pull(memory[0], batch_of(memory[2]))) > 0


@pytest.mark.parametrize(("strength", "fraction"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (3.0, 1.0)])
def test_the_strength_is_the_share_of_the_way(strength, fraction):
    z = torch.cat([torch.zeros(30, 2), torch.full((30, 2), 4.0)]) + 0.1 * torch.randn(60, 2)
    batch = torch.arange(60)[:, None] // 30
    whole, part = ClusterAlignment(n_clusters=1), ClusterAlignment(n_clusters=1, strength=strength)
    for pull in (whole, part):
        pull.refresh(z, batch, torch.arange(60))
    at, draws = torch.arange(60), Draws(0, torch.arange(60))
    moves = [pull._stored_targets(at, draws)[0] - z for pull in (part, whole)]
    torch.testing.assert_close(moves[0], fraction * moves[1])


@pytest.mark.parametrize("is_whole", [True, False])
def test_weights_of_the_adversary_are_those_of_its_clusters(is_whole):
    z = torch.cat([torch.zeros(60, 2), torch.full((60, 2), 9.0)]) + 0.01 * torch.arange(120)[:, None]
    batch_n = torch.cat([torch.arange(60) < 45, torch.arange(60) < 20]).long()
    pull, rows = ClusterAlignment(n_clusters=2, most_weight=2.5), torch.arange(0, 240, 2)
    assert pull.adversary_weights(batch_of(rows, batch_n[:, None], whole=z)) is None, "nothing is remembered yet"
    pull.refresh(z, batch_n[:, None], rows, is_whole=is_whole)
    found = pull.adversary_weights(batch_of(rows, batch_n[:, None], whole=z))
    expected = torch.where(
        torch.arange(120) < 60, torch.where(batch_n == 1, 30 / 45, 2.0), torch.where(batch_n == 1, 1.5, 0.75)
    )
    torch.testing.assert_close(found, expected)
    other = batch_of(
        torch.tensor([1, 3]), torch.tensor([[-1], [7]]), whole=z[:2]
    )  # not remembered, or of no known batch
    assert pull.adversary_weights(other).tolist() == [1, 1]
    assert ClusterAlignment().adversary_weights(other) is None
    assert MutualNeighbours().adversary_weights(other) is None


# ---- targets of observations that are not in the memory ---------------------------------------------------------------


def two_types(n=400, seed=0):
    """Two types in two batches that lie apart, and a third type that batch 0 has alone."""
    torch.manual_seed(seed)
    batch, kind = torch.arange(n) % 2, torch.arange(n) // 2 % 3
    batch = torch.where(kind == 2, 0, batch)
    x = torch.tensor([[0.0, 0], [20, 0], [0, 60]])[kind] + torch.tensor([0.0, 3.0])[batch][:, None] + torch.randn(n, 2)
    return x, batch, kind


@pytest.mark.parametrize("pull", [MutualNeighbours(n_neighbors=5), ClusterAlignment(n_clusters=3, n_shrinkage=0)])
def test_an_observation_outside_of_the_sample_is_pulled_as_those_in_it(pull):
    x, batch, _ = two_types()
    kept = torch.arange(0, 400, 2) + (torch.arange(200) % 2)
    pull.refresh(x[kept], batch[kept, None], kept, is_whole=False)
    new = torch.tensor([i for i in range(400) if i not in set(kept.tolist())])
    target, has = pull._new_targets(x[new], batch[new], Draws(0, new))
    alone = two_types()[2][new] == 2
    moved = (target - x[new]).norm(dim=1)
    if isinstance(pull, MutualNeighbours):
        assert not has[alone].any(), "a type of one batch has no neighbours"
        assert has[~alone].float().mean() > 0.3
        towards = (target - x[new])[has & ~alone].mean(1) * (1 - 2 * batch[new][has & ~alone])
        assert float(towards.mean()) > 1, "to the other batch, whose nearest lie at its border"
    else:
        assert has.all()
        assert float(moved[alone].max()) < 0.2, "a type of one batch stays"
        torch.testing.assert_close(
            (target - x[new])[~alone].mean(1).abs(), torch.full((int((~alone).sum()),), 1.5), atol=0.4, rtol=0
        )


def test_a_sample_needs_the_whole_view_and_says_nothing_of_unknown_batches():
    x, batch, _ = two_types()
    at = torch.arange(0, 400, 10)
    for pull in (MutualNeighbours(n_neighbors=5), ClusterAlignment(n_clusters=3)):
        pull.refresh(x, batch[:, None], torch.arange(400), is_whole=False)
        rows = torch.tensor([1000, 2000])
        unknown = torch.tensor([[-1], [7]])
        loss = pull(x[:2], batch_of(rows, unknown, whole=x[:2]))
        assert float(loss) == pytest.approx(0, abs=1e-9)
        assert float(pull(x[at] + 1, batch_of(at + 1000, batch[at, None], whole=x[at]))) > 0


def test_the_neighbours_of_a_sample_cost_a_bounded_number_of_distances(monkeypatch):
    sizes = []
    monkeypatch.setattr("omicsmlm.objectives._batch_alignment.MOST_PAIRS", 300)
    monkeypatch.setattr(
        "omicsmlm.objectives._batch_alignment.mutual_pairs",
        lambda z, a, b, k: (sizes.append(len(a) * len(b)), mutual_pairs(z, a, b, k))[1],
    )
    x, batch, _ = two_types()
    MutualNeighbours().refresh(x, (torch.arange(400) % 4)[:, None], torch.arange(400), is_whole=False)
    assert sizes == [49] * 6, "the largest square of which six are at most 300"


def test_shifts_are_those_of_the_cluster_and_the_batch_and_none_of_batches_out_of_range():
    shift_kbd = torch.arange(12.0).view(2, 3, 2) + 1
    cluster_n, batch_n = torch.tensor([0, 1, 1, 0, 1, 0]), torch.tensor([0, 2, 0, -1, 3, 2])
    found = shifts_of(shift_kbd, cluster_n, batch_n)
    for i, (k, b) in enumerate(zip(cluster_n.tolist(), batch_n.tolist(), strict=True)):
        assert torch.equal(found[i], shift_kbd[k, b] if 0 <= b < 3 else torch.zeros(2))


def test_shifts_against_a_loop_over_clusters_and_batches():
    generator = torch.Generator().manual_seed(0)
    z_nd, cluster_n = torch.randn(60, 2, generator=generator), torch.randint(0, 3, (60,), generator=generator)
    batch_n = torch.randint(-1, 4, (60,), generator=generator)
    batch_n[(cluster_n == 2) & (batch_n > 1)] = 0
    found, s = batch_shifts(z_nd, cluster_n, batch_n, 3, 4), 4
    for k in range(3):
        own = [z_nd[(cluster_n == k) & (batch_n == b)] for b in range(4)]
        large = [b for b in range(4) if len(own[b]) >= 3]
        weight = {b: len(own[b]) / (len(own[b]) + s) for b in large} if len(large) > 1 else {}
        for b in range(4):
            expected = torch.zeros(2)
            if b in weight:
                centre = sum(w * own[c].mean(0) for c, w in weight.items()) / sum(weight.values())
                expected = weight[b] * (centre - own[b].mean(0))
            torch.testing.assert_close(found[k, b], expected)


@pytest.mark.parametrize(("n", "n_clusters"), [(29, 1), (59, 1), (60, 2), (95, 3), (200, 4)])
def test_there_is_a_cluster_per_thirty_observations_up_to_the_number_asked_for(n, n_clusters):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    loss = ClusterAlignment(n_clusters=4)
    loss.refresh(x, (torch.arange(n) % 2)[:, None], torch.arange(n))
    assert len(loss._centre_kd) == n_clusters


def test_usual_settings():
    assert (MutualNeighbours().n_neighbors, MutualNeighbours().n_obs_per_batch) == (15, 3000)
    assert (ClusterAlignment().n_clusters, ClusterAlignment().n_shrinkage, ClusterAlignment().strength) == (30, 10, 1)
    assert ClusterAlignment(strength=1.5).strength == 1


def test_a_large_batch_is_sampled_and_a_small_one_is_whole():
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    loss = MutualNeighbours(n_neighbors=50, n_obs_per_batch=8)
    loss.refresh(x, torch.tensor([0] * 5 + [1] * 45)[:, None], torch.arange(50))
    assert int((loss._count_m[:5] > 0).sum()) == 5
    assert int((loss._count_m[5:] > 0).sum()) == 8
    assert loss._count_m[:5].tolist() == [8] * 5, "each is a neighbour of each"


# ---- bounds, and what is usual --------------------------------------------------------------------------------------


def test_shifts_that_shrink_much_still_lead_to_the_common_centre():
    """The sum of the weights is far below 1."""
    z = torch.tensor([[0.0]] * 3 + [[6.0]] * 3)
    found = batch_shifts(z, torch.zeros(6).long(), torch.tensor([0] * 3 + [1] * 3), 1, 597)
    torch.testing.assert_close(found.flatten(), torch.tensor([3.0, -3.0]) * 3 / 600)


def test_a_batch_has_a_shift_from_three_observations_on():
    for n, expected in ((2, 0.0), (3, 1.0)):
        z = torch.tensor([[0.0]] * 4 + [[2.0]] * n)
        found = batch_shifts(z, torch.zeros(4 + n).long(), torch.tensor([0] * 4 + [1] * n), 1, 0)
        torch.testing.assert_close(found.flatten(), torch.tensor([1.0, -1.0]) * expected)


def test_shifts_of_unknown_batches_alone_are_zeros_of_one_batch():
    found = batch_shifts(torch.randn(4, 2), torch.zeros(4).long(), torch.full((4,), -1), 2, 5)
    assert torch.equal(found, torch.zeros(2, 1, 2))


def test_without_covariates_there_is_one_batch():
    x, nothing, at = torch.randn(6, 2), torch.zeros(6, 0, dtype=torch.int64), torch.arange(6)
    for loss in (MutualNeighbours(n_neighbors=2), ClusterAlignment(n_clusters=1)):
        for is_whole in (True, False):
            loss.refresh(x, nothing, at, is_whole=is_whole)
            assert float(loss(x, batch_of(at, nothing, whole=x))) == pytest.approx(0, abs=1e-9)


def test_the_variance_is_that_of_the_memory_and_bounded_from_below():
    at = torch.arange(6)
    for x, variance in ((torch.zeros(6, 2), 1e-6), (torch.tensor([[0.0], [2.0]] * 3), 1.2)):
        loss = ClusterAlignment(n_clusters=1)
        loss.refresh(x, torch.zeros(6, 1, dtype=torch.int64), at)
        assert float(loss(x + 1, batch_of(at))) == pytest.approx(x.shape[1] / variance)


def test_draws_of_a_batch_that_has_none_are_those_of_seed_zero():
    x = torch.tensor([[0.0], *[[1.0 + i] for i in range(20)]])
    loss = MutualNeighbours(n_neighbors=20)
    loss.refresh(x, torch.tensor([0] + [1] * 20)[:, None], torch.arange(21))
    one = torch.tensor([0])
    assert float(loss(x[:1], batch_of(one)._replace(draws=None))) == float(loss(x[:1], batch_of(one, seed=0)))
    assert float(loss(x[:1], batch_of(one, seed=0))) != float(loss(x[:1], batch_of(one, seed=2)))


def test_neighbours_are_asked_for_in_both_directions_and_no_more_than_there_are():
    x = torch.tensor([[0.0], [0.5], [1.0], [9.0]])
    pairs = mutual_pairs(x, torch.tensor([0, 1, 3]), torch.tensor([2]), 2)
    assert pairs.T.tolist() == [[0, 2], [1, 2]], "the third is not among the two that are nearest to the only other one"


def test_whether_an_observation_has_a_target_is_a_boolean():
    x, at, draws = torch.randn(4, 2), torch.arange(4), Draws(0, torch.arange(4))
    for covariates in (torch.zeros(4, 1).long(), torch.tensor([[0], [0], [1], [1]])):
        for loss in (MutualNeighbours(n_neighbors=2), ClusterAlignment(n_clusters=1)):
            loss.refresh(x, covariates, at, is_whole=False)
            for target, has in (loss._stored_targets(at, draws), loss._new_targets(x, covariates[:, 0], draws)):
                assert has.dtype == torch.bool
                assert target.shape == x.shape
            assert (
                loss._new_targets(x, covariates[:, 0], draws)[1].tolist()
                == [not isinstance(loss, MutualNeighbours) or bool(covariates.any())] * 4
            )


def test_a_new_observation_where_its_batch_has_none_stays():
    """Batch 0 has observations at 5 and at 0, batch 1 at 5 alone: one of batch 1 at 0 is like none that is known."""
    x = torch.tensor([[5.0]] + [[0.0]] * 5 + [[5.0]])  # the last group, that of (0, batch 1), is empty
    loss = MutualNeighbours(n_neighbors=1)
    loss.refresh(x, torch.tensor([0] * 6 + [1])[:, None], torch.arange(7), is_whole=False)
    new, of = torch.tensor([[0.0], [0.0], [5.1], [5.2]]), torch.tensor([0, 1, 0, 1])
    for seed in range(5):
        target, has = loss._new_targets(new, of, Draws(seed, torch.arange(4)))
        assert has.tolist() == [False, False, True, True]
        assert target[2:, 0].tolist() == [5.0, 5.0]


def test_there_are_at_most_512_landmarks():
    x = torch.randn(700, 1, generator=torch.Generator().manual_seed(0))
    loss = MutualNeighbours(n_neighbors=1)
    for n, expected in ((700, 512), (100, 100)):
        at = torch.arange(n)
        loss.refresh(x[:n], (at % 2)[:, None], at, is_whole=False)
        assert len(loss._landmark_ad) == expected


@pytest.mark.parametrize(
    ("n_batches", "is_whole", "expected"),
    [(1, False, 10**9), (2, False, 5477), (3, False, 3162), (5, False, 1732), (2, True, 10**9)],
)
def test_thirty_million_distances_are_computed_at_most(n_batches, is_whole, expected, monkeypatch):
    asked = []
    name = "omicsmlm.objectives._batch_alignment._sample"
    monkeypatch.setattr(name, lambda members, most: (asked.append(most), members)[1])
    at = torch.arange(10)
    loss = MutualNeighbours(n_neighbors=1, n_obs_per_batch=10**9)
    loss.refresh(torch.randn(10, 1), (at % n_batches)[:, None], at, is_whole=is_whole)
    assert asked[:n_batches] == [expected] * n_batches
    assert expected == 10**9 or expected**2 * n_batches * (n_batches - 1) / 2 <= 3e7


def test_as_many_members_as_there_may_be_are_not_sampled():
    members = torch.tensor([5, 3, 9])
    assert _sample(members, 3) is members
    assert sorted(_sample(members, 2).tolist()) in ([3, 5], [3, 9], [5, 9])


def test_clusters_are_those_of_k_means_at_seed_zero():
    x = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
    loss = ClusterAlignment(n_clusters=4)
    loss.refresh(x, torch.zeros(120, 1).long(), torch.arange(120))
    expected = KMeans(4, n_init=1, random_state=0).fit(x.numpy()).cluster_centers_
    torch.testing.assert_close(loss._centre_kd, torch.from_numpy(expected))


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _batch_alignment.MOST_PAIRS == 3 * 10**7
    assert _batch_alignment.N_LANDMARKS == 512
