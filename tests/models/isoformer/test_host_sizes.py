"""Sizes of sequences and vectors, read at once."""

import torch

from omicsmlm._types import Grid
from omicsmlm.models.isoformer._host_sizes import HostSizes, host_sizes
from tests.objects import letters_of


def test_each_view_has_its_own_sizes_in_order():
    dna = letters_of("ACGT", "GG", of_obs=[1, -1, 0, 1])
    beta = Grid(torch.zeros(3, 2), torch.tensor([[1, 0], [0, 0], [1, 1]]).bool(), torch.zeros(3))
    protein = letters_of("MKV", of_obs=[0])
    found = host_sizes([dna, beta, protein])
    digests = [[tuple(pair) for pair in view.digests.tolist()] for view in (dna, protein)]
    assert found == [
        HostSizes([4, 2], [1, -1, 0, 1], digests[0]),
        HostSizes([1, 0, 1], [], []),
        HostSizes([3], [0], digests[1]),
    ]


def test_a_batch_without_a_sequence_has_no_sizes_but_those_of_its_observations():
    empty = letters_of("A")
    empty = empty._replace(
        residues=empty.residues[:0],
        offsets=empty.offsets[:1],
        of_obs=torch.tensor([-1, -1]),
        digests=empty.digests[:0],
    )
    assert host_sizes([empty]) == [HostSizes([], [-1, -1], [])]
