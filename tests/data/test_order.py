"""The order of a file: every observation once, from few blocks at a time, by nothing but the seed."""

import numpy as np
import pytest

from omicsmlm.data import _order
from omicsmlm.data._order import N_STREAMS, BatchSizes, FileLayout, FileOrder, file_batches, n_slots


def order_of(n=1000, batch_size=60, seed=(1, 0), block=16, window=256, rows=None):
    rows = np.arange(n) if rows is None else rows
    return FileOrder(rows, BatchSizes.of(len(rows), batch_size), FileLayout(block, window), list(seed))


def batches(order, start=0, rank=0, world_size=1, load=lambda rows: rows):
    found = []
    for pieces in file_batches(order, start, rank, world_size, load):
        rows = np.full(sum(len(piece.slots) for piece in pieces), -1)
        for piece in pieces:
            rows[piece.slots] = piece.buffer[piece.positions]
        found.append(rows.tolist())
    return found


def test_sizes_are_those_of_array_split():
    for n, batch_size in ((1, 3), (10, 3), (12, 3), (100, 7), (5, 9)):
        sizes = BatchSizes.of(n, batch_size)
        expected = [len(part) for part in np.array_split(np.arange(n), -(-n // batch_size))]
        assert [sizes.of_batch(batch) for batch in range(sizes.n_batches)] == expected
        assert [sizes.start(batch) for batch in range(sizes.n_batches)] == np.cumsum([0, *expected])[:-1].tolist()
        for stream in range(N_STREAMS):
            of_batch = [len(range(stream, size, N_STREAMS)) for size in expected]
            assert [n_slots(size, stream) for size in expected] == of_batch
            assert sizes.of_stream(stream, sizes.n_batches) == sum(of_batch)


@pytest.mark.parametrize("n", [1, 7, 9, 100, 1000, 4097])
@pytest.mark.parametrize("batch_size", [1, 13, 64, 5000])
def test_every_observation_comes_once(n, batch_size):
    if n > 1000 and batch_size == 1:
        n = 1025
    found = batches(order_of(n, batch_size))
    assert sorted(sum(found, [])) == list(range(n))
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_the_order_is_that_of_the_seed_and_of_the_epoch():
    first = batches(order_of())
    assert batches(order_of()) == first
    assert batches(order_of(seed=(1, 1))) != first
    assert batches(order_of(seed=(2, 0))) != first


def test_only_some_observations_and_no_others():
    rows = np.flatnonzero(np.random.default_rng(0).random(3000) < 0.3)
    assert sorted(sum(batches(order_of(rows=rows)), [])) == rows.tolist()


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
def test_processes_together_have_the_global_batches(world_size):
    whole = batches(order_of())
    divided = [batches(order_of(), rank=rank, world_size=world_size) for rank in range(world_size)]
    for number, batch in enumerate(whole):
        for rank in range(world_size):
            assert divided[rank][number] == batch[rank::world_size]


@pytest.mark.parametrize("world_size", [2, 4, 8])
def test_a_process_reads_only_blocks_of_its_own(world_size):
    n, block = 4096, 16
    read = []
    for rank in range(world_size):
        own = []
        batches(
            order_of(n, 64, block=block), rank=rank, world_size=world_size, load=lambda r, own=own: own.append(r) or r
        )
        read.append(np.concatenate(own))
    assert sorted(np.concatenate(read).tolist()) == list(range(n)), "no observation is read by two"
    blocks = sum(len(np.unique(rows // block)) for rows in read)
    assert blocks <= n // block + N_STREAMS, "but for those where one stream ends and another begins"


@pytest.mark.parametrize("start", [1, 5, 16])
def test_an_epoch_can_be_begun_anywhere(start):
    loaded = []
    late = batches(order_of(), start=start, load=lambda rows: loaded.append(len(rows)) or rows)
    assert late == batches(order_of())[start:]
    assert sum(loaded) < 1000 or start == 1, "what went before is not read"


def test_few_observations_are_held_at_a_time():
    held = []
    order = order_of(8192, 64, block=16, window=512)
    batches(order, load=lambda rows: held.append(len(rows)) or rows)
    assert max(held) <= 512 // N_STREAMS
    assert len(held) >= 8192 // 512 * N_STREAMS


def test_a_batch_mixes_distant_blocks():
    order = order_of(8192, 64, block=16, window=512)
    for batch in batches(order):
        assert len(np.unique(np.array(batch) // 16)) >= N_STREAMS
    rows = np.array(sum(batches(order), []))
    assert np.abs(np.diff(rows)).mean() > 8192 / 6, (
        "neighbours in the order are about as far apart as by chance (n / 3)"
    )


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _order.N_STREAMS == 8
