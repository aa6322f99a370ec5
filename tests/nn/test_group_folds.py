"""Folds of whole groups."""

import torch

from omicsmlm.nn import group_folds


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_groups_are_whole_and_folds_differ_by_one_group():
    group = torch.randint(0, 23, (200,), generator=seeded()) * 7
    fold = group_folds(group, 5, seeded())
    of_group = {int(g): fold[group == g].unique().tolist() for g in group.unique()}
    assert all(len(found) == 1 for found in of_group.values())
    sizes = torch.bincount(torch.tensor([found[0] for found in of_group.values()]))
    assert sizes.tolist() == [5, 5, 5, 4, 4]


def test_there_are_no_more_folds_than_groups_and_the_generator_draws_them():
    assert group_folds(torch.tensor([4, 4, 4]), 5, seeded()).tolist() == [0, 0, 0]
    assert sorted(group_folds(torch.tensor([4, 1, 9]), 5, seeded()).tolist()) == [0, 1, 2]
    assert group_folds(torch.zeros(0, dtype=torch.int64), 5, seeded()).tolist() == []
    group = torch.arange(50)
    assert torch.equal(group_folds(group, 5, seeded()), group_folds(group, 5, seeded()))
    assert not torch.equal(group_folds(group, 5, seeded()), group_folds(group, 5, seeded(1)))
