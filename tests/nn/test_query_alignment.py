"""A new batch on its way onto a reference."""

import pytest
import torch

from omicsmlm.nn import QueryAlignment, _query_alignment

D = 20


def types(n_each: int, centres: list[list[float]], seed: int) -> torch.Tensor:
    """Rows around centres, in the order of the centres, with unit variance in each of D dimensions."""
    noise = torch.randn(n_each * len(centres), D, generator=torch.Generator().manual_seed(seed))
    centre_td = torch.nn.functional.pad(torch.tensor(centres, dtype=torch.float32), (0, D - len(centres[0])))
    return centre_td.repeat_interleave(n_each, 0) + noise


@pytest.fixture
def reference():
    return types(200, [[0, 0, 0], [20, 0, 0], [0, 20, 0]], 0)


def test_nothing_moves_before_a_fit(reference):
    alignment = QueryAlignment(D, n_fixed=1, n_batches=2)
    assert torch.equal(alignment(reference, torch.ones(600, dtype=torch.int64)), reference)


def test_each_type_of_a_new_batch_goes_to_its_own_place(reference):
    new = types(150, [[0, 0, 1.5], [20, 0, -1.5], [0, 20, 0]], 1)  # each type is off by another shift
    alignment = QueryAlignment(D, n_fixed=1, n_batches=2)
    alignment.fit(1, new, reference)
    moved = alignment(new, torch.ones(450, dtype=torch.int64))
    for t in range(3):
        before, after = (
            (rows[150 * t : 150 * (t + 1)].mean(0) - reference[200 * t : 200 * (t + 1)].mean(0)).norm()
            for rows in (new, moved)
        )
        assert after < 0.75
        assert after < 0.5 * before or before < 0.5
    assert moved[:150].std(0).min() > 0.7, "a type keeps its width"


def test_a_type_that_the_reference_lacks_stays(reference):
    new = types(150, [[0, 0, 1.5], [0, 0, 40]], 1)
    alignment = QueryAlignment(D, n_fixed=1, n_batches=2)
    alignment.fit(1, new, reference)
    moved = alignment(new, torch.ones(300, dtype=torch.int64))
    torch.testing.assert_close(moved[150:], new[150:], rtol=0, atol=0.05)
    assert (moved[:150].mean(0) - reference[:200].mean(0)).norm() < 0.75


def test_a_batch_that_nowhere_meets_the_reference_stays(reference):
    new = types(150, [[0, 0, 40], [0, 0, -40]], 1)
    alignment = QueryAlignment(D, n_fixed=1, n_batches=2)
    alignment.fit(1, new, reference)
    torch.testing.assert_close(alignment(new, torch.ones(300, dtype=torch.int64)), new, rtol=0, atol=0.05)


def test_other_batches_and_unknown_ones_stay_to_the_last_bit(reference):
    alignment = QueryAlignment(D, n_fixed=2, n_batches=3)
    alignment.fit(2, reference + 1, reference)
    for batch in (-1, 0, 1):
        assert torch.equal(alignment(reference, torch.full((600,), batch)), reference)
    assert not torch.equal(alignment(reference, torch.full((600,), 2)), reference)


def test_a_row_moves_alike_alone_and_among_others(reference):
    new = types(150, [[0, 0, 1.5], [20, 0, 0]], 1)
    alignment = QueryAlignment(D, n_fixed=1, n_batches=2)
    alignment.fit(1, new, reference)
    batch = torch.ones(300, dtype=torch.int64)
    torch.testing.assert_close(alignment(new, batch)[7:8], alignment(new[7:8], batch[:1]))


def test_a_second_query_keeps_what_the_first_one_learned(reference):
    first = QueryAlignment(D, n_fixed=1, n_batches=2)
    first.fit(1, reference + 1, reference)
    second = QueryAlignment(D, n_fixed=1, n_batches=3)
    second.load_from(first)
    second.fit(2, reference - 1, reference)
    batch = torch.ones(600, dtype=torch.int64)
    assert torch.equal(second(reference, batch), first(reference, batch))


def test_a_single_row_is_not_moved_far(reference):
    alignment = QueryAlignment(D, n_fixed=1, n_batches=2)
    row = torch.full((1, D), 2.0)
    alignment.fit(1, row, reference)
    moved = alignment(row, torch.ones(1, dtype=torch.int64))
    assert (moved - row).norm() < 0.4 * row.norm(), "one row says little of its batch"


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _query_alignment.N_ROUNDS == 30
    assert _query_alignment.N_CLUSTERS == 30
    assert _query_alignment.OBSERVATIONS_PER_CLUSTER == 30
    assert _query_alignment.SHRINKAGE == 10.0
    assert _query_alignment.STEP == 0.1
    assert _query_alignment.UNUSED_COORDINATE == 10000.0
