"""Packed attention against softmax(QK^T/√d)V, row by row and head by head."""

import sys
import types

import pytest
import torch

from omicsmlm.nn import Segments, _attention, attend

LENGTHS = {
    "ragged": ([5, 1, 0, 9, 2], [5, 1, 0, 9, 2]),
    "equal": ([4, 4, 4], [4, 4, 4]),
    "crossing": ([3, 2, 0, 4], [1, 7, 5, 0]),
    "latents": ([2, 2, 2], [6, 0, 1]),
    "equal, crossing": ([2, 2], [5, 5]),
    "one": ([1], [1]),
    "keyless": ([2, 2], [0, 0]),
    "nothing": ([0, 0], [0, 0]),
}
CPU_BACKENDS = ("loop", "padded")


def obs_of(lengths):
    return Segments.of(torch.tensor([0, *lengths]).cumsum(0))


def drawn(lengths, key_lengths, n_heads=3, width=8, **options):
    generator = torch.Generator().manual_seed(0)
    sizes = sum(lengths), sum(key_lengths), sum(key_lengths)
    return [torch.randn(size, n_heads, width, generator=generator).to(**options) for size in sizes]


def naive(query_thd, key_shd, value_shd, lengths, key_lengths):
    out = torch.zeros_like(query_thd)
    first, first_key = 0, 0
    for length, n_keys in zip(lengths, key_lengths, strict=True):
        for t in range(first, first + length):
            for h in range(query_thd.shape[1]):
                keys, values = (x[first_key : first_key + n_keys, h] for x in (key_shd, value_shd))
                weight = torch.tensor([float(query_thd[t, h] @ key) for key in keys]) / query_thd.shape[2] ** 0.5
                for w, value in zip(weight.softmax(0), values, strict=True):
                    out[t, h] += w * value
        first, first_key = first + length, first_key + n_keys
    return out


@pytest.mark.parametrize("backend", [None, *CPU_BACKENDS])
@pytest.mark.parametrize("case", LENGTHS)
def test_it_is_softmax_attention_within_rows(case, backend):
    lengths, key_lengths = LENGTHS[case]
    inputs = drawn(lengths, key_lengths)
    out = attend(*inputs, obs_of(lengths), obs_of(key_lengths), backend)
    torch.testing.assert_close(out, naive(*inputs, lengths, key_lengths), atol=1e-6, rtol=1e-5)


def test_the_keys_may_be_those_of_the_queries():
    x_thd = drawn([3, 4], [3, 4])[0]
    rows = obs_of([3, 4])
    assert torch.equal(attend(x_thd, x_thd, x_thd, rows), attend(x_thd, x_thd, x_thd, rows, rows))


@pytest.mark.parametrize("case", LENGTHS)
def test_back_ends_and_their_gradients_agree(case):
    lengths, key_lengths = LENGTHS[case]
    target = drawn(lengths, key_lengths)[0].flip(0)
    results = []
    for backend in CPU_BACKENDS:
        inputs = [x.requires_grad_() for x in drawn(lengths, key_lengths)]
        out = attend(*inputs, obs_of(lengths), obs_of(key_lengths), backend)
        gradients = torch.autograd.grad((out - target).square().sum() + sum(x.sum() for x in inputs), inputs)
        results.append((out, *gradients))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_gradients_are_those_of_finite_differences(backend):
    lengths, key_lengths = LENGTHS["crossing"]
    inputs = [x.requires_grad_() for x in drawn(lengths, key_lengths, 2, 3, dtype=torch.float64)]
    attended = lambda *inputs: attend(*inputs, obs_of(lengths), obs_of(key_lengths), backend)
    assert torch.autograd.gradcheck(attended, inputs)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_a_long_row_beside_a_short_one(backend):
    inputs = drawn([700, 3], [700, 3])
    out = attend(*inputs, obs_of([700, 3]), backend=backend)
    weight_hlm = torch.einsum("lhd,mhd->hlm", inputs[0][:700], inputs[1][:700]) / 8**0.5
    expected = torch.einsum("hlm,mhd->lhd", weight_hlm.softmax(2), inputs[2][:700])
    torch.testing.assert_close(out[:700], expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(out[700:], naive(*(x[700:] for x in inputs), [3], [3]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_other_rows_do_not_matter(backend):
    inputs = drawn([5, 3, 4], [5, 3, 4])
    before = attend(*inputs, obs_of([5, 3, 4]), backend=backend)
    for x in inputs:
        x[5:8] = torch.inf
    after = attend(*inputs, obs_of([5, 3, 4]), backend=backend)
    others = [*range(5), *range(8, 12)]
    torch.testing.assert_close(after[others], before[others], atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_bfloat16_is_roughly_the_same(backend):
    inputs = drawn([30, 7, 1], [30, 7, 1])
    half = [x.bfloat16().requires_grad_() for x in inputs]
    out = attend(*half, obs_of([30, 7, 1]), backend=backend)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), naive(*inputs, [30, 7, 1], [30, 7, 1]), atol=0.03, rtol=0.03)
    out.float().square().sum().backward()
    assert all(x.grad.isfinite().all() and x.grad.any() for x in half)


@pytest.mark.gpu
@pytest.mark.parametrize("case", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_on_a_gpu_one_kernel_serves_all_rows(case, dtype):
    lengths, key_lengths = LENGTHS[case]
    rows, key_segments = (Segments.of(torch.tensor([0, *n], device="cuda").cumsum(0)) for n in (lengths, key_lengths))
    results = []
    for backend in (None, "varlen", "padded"):
        inputs = [x.requires_grad_() for x in drawn(lengths, key_lengths, 3, 16, device="cuda", dtype=dtype)]
        out = attend(*inputs, rows, key_segments, backend)
        gradients = torch.autograd.grad(out.float().square().sum() + sum(x.float().sum() for x in inputs), inputs)
        results.append((out, *gradients))
    expected = naive(*drawn(lengths, key_lengths, 3, 16), lengths, key_lengths)
    torch.testing.assert_close(results[1][0].float().cpu(), expected, atol=0.03, rtol=0.03)
    for own, varlen, padded in zip(*results, strict=True):
        assert torch.equal(own, varlen), "it is the best there"
        torch.testing.assert_close(varlen, padded, atol=0.03, rtol=0.03)


@pytest.mark.gpu
def test_on_a_gpu_full_precision_is_padded():
    lengths, key_lengths = LENGTHS["crossing"]
    rows, key_segments = (Segments.of(torch.tensor([0, *n], device="cuda").cumsum(0)) for n in (lengths, key_lengths))
    out = attend(*drawn(lengths, key_lengths, device="cuda"), rows, key_segments)
    expected = naive(*drawn(lengths, key_lengths), lengths, key_lengths)
    torch.testing.assert_close(out.cpu(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("lengths", "key_lengths", "backend", "sentence"),
    [
        ([3, 3], [4, 3], None, "attention: expected segments that cover the 7 query tokens, got lengths that sum to 6"),
        ([4, 3], [4, 2], None, "attention: expected segments that cover the 7 key tokens, got lengths that sum to 6"),
        ([9, -2], [4, 3], None, "segments that cover the 7 query tokens"),
        (
            [4, 3],
            [7],
            None,
            r"expected as many segments of keys as of queries \(2\), got 1; give a segment without keys",
        ),
        ([4, 3], [4, 3], "flash", "backend: expected 'varlen' or 'loop' or 'padded', got 'flash'; leave it out"),
        ([4, 3], [4, 3], "varlen", "on a CUDA device of capability 8.0.*got heads of 8 in torch.float32 on cpu"),
    ],
)
def test_mistakes(lengths, key_lengths, backend, sentence):
    with pytest.raises(ValueError, match=sentence):
        attend(*drawn([7], [7]), obs_of(lengths), obs_of(key_lengths), backend)


@pytest.mark.parametrize("n_behind", [0, 4])
@pytest.mark.parametrize("empty", [False, True])
def test_rows_whose_lengths_the_host_does_not_know_are_padded_with_the_same_result(n_behind, empty):
    """Only a limit is known; tokens behind the last row are no row's, get zeros and are heard by none."""
    lengths, key_lengths = [3, 0, 5, 1], [2, 4, 0 if empty else 6, 3]
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(sum(lengths) + n_behind, 2, 4, generator=generator)
    key, value = torch.randn(2, sum(key_lengths) + n_behind, 2, 4, generator=generator).unbind()
    ends, key_ends = (torch.tensor([0, *n]).cumsum(0) for n in (lengths, key_lengths))
    t, s = sum(lengths), sum(key_lengths)
    wanted = attend(query[:t], key[:s], value[:s], Segments.of(ends), Segments.of(key_ends))
    unknown, unknown_keys = Segments(ends, None, 7), Segments(key_ends, None, 6)
    key[s:], value[s:] = torch.nan, torch.nan
    for rows, key_segments in (
        (unknown, unknown_keys),
        (Segments.of(ends), unknown_keys),
        (unknown, Segments.of(key_ends)),
    ):
        own = t if rows.lengths is not None else len(query)
        keys = s if key_segments.lengths is not None else len(key)
        found = attend(query[:own], key[:keys], value[:keys], rows, key_segments)
        torch.testing.assert_close(found[:t], wanted)
        assert not found[t:].any()


def test_segments_know_their_number_and_longest():
    offsets = torch.tensor([0, 3, 3, 7])
    known = Segments.of(offsets)
    assert (known.n, known.lengths, known.longest, known.are_equal) == (3, [3, 0, 4], 4, False)
    assert Segments(offsets, None).longest == 0, "nothing is known"
    assert Segments(offsets, None, 9).longest == 9
    assert not Segments(offsets, None, 9).are_equal
    assert Segments.of(torch.tensor([0, 2, 4])).are_equal
    none = Segments.of(torch.tensor([0]))
    assert (none.n, none.longest, none.are_equal) == (0, 0, False)
    for segments in (known, Segments(offsets, None, 4)):
        assert segments.of_token(7).tolist() == [0, 0, 0, 2, 2, 2, 2]
    assert Segments(offsets, None, 4).of_token(9).tolist() == [0, 0, 0, 2, 2, 2, 2, 3, 3], "behind the last one"


# ---- what the kernel for GPUs takes, without one ---------------------------------------------------------------------


class OnGPU:
    """What of a tensor decides whether the kernel takes it."""

    def __init__(self, width=64, dtype=torch.bfloat16, device="cuda"):
        self.shape, self.dtype, self.device = (10, 2, width), dtype, torch.device(device)


@pytest.mark.parametrize(
    ("changes", "capability", "fits"),
    [
        ({}, (8, 0), True),
        ({"width": 8}, (9, 0), True),
        ({"width": 256, "dtype": torch.float16}, (8, 6), True),
        ({"width": 264}, (9, 0), False),
        ({"width": 12}, (9, 0), False),
        ({"width": 17}, (9, 0), False),
        ({"dtype": torch.float32}, (9, 0), False),
        ({"device": "cpu"}, (9, 0), False),
        ({}, (7, 5), False),
    ],
)
def test_the_kernel_takes_halves_of_a_multiple_of_eight_on_a_recent_device(changes, capability, fits, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(_attention, "find_spec", lambda name: name)
    assert _attention._fits_varlen(OnGPU(**changes)) == fits
    monkeypatch.setattr(_attention, "find_spec", lambda name: None)
    assert not _attention._fits_varlen(OnGPU(**changes)), "with a PyTorch that has no such kernel"


def test_the_kernel_is_called_with_lengths_and_what_it_leaves_without_keys_is_zeroed(monkeypatch):
    lengths, key_lengths = LENGTHS["crossing"]
    query, key, value = drawn(lengths, key_lengths)
    segments, key_segments = obs_of(lengths), obs_of(key_lengths)

    def kernel(query, key, value, offsets, key_offsets, longest, longest_key):
        assert offsets.tolist() == segments.offsets.tolist()
        assert key_offsets.tolist() == key_segments.offsets.tolist()
        assert (offsets.dtype, key_offsets.dtype) == (torch.int32, torch.int32)
        assert (longest, longest_key) == (max(lengths), max(key_lengths))
        found = naive(query, key, value, lengths, key_lengths)
        found[sum(lengths[:3]) :] = 7.0  # whatever was in memory
        return found

    module = types.ModuleType("torch.nn.attention.varlen")
    module.varlen_attn = kernel
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)
    monkeypatch.setattr(_attention, "_fits_varlen", lambda query_thd: True)
    found = attend(query, key, value, segments, key_segments, "varlen")
    torch.testing.assert_close(found, naive(query, key, value, lengths, key_lengths))


def test_lengths_that_are_known_are_taken_as_they_are():
    offsets = torch.tensor([0, 2, 5])
    assert Segments.of(offsets).lengths == [2, 3]
    assert Segments.of(offsets, longest=9).lengths == [2, 3], "on the CPU they cost nothing"
    assert Segments.of(offsets, [2, 3]).most == 0
    unknown = Segments(offsets, None, 4)
    assert (unknown.longest, unknown.are_equal, unknown.n) == (4, False, 2)
    assert unknown.of_token(7).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert Segments(offsets, None).most == 0
    assert (obs_of([]).longest, obs_of([]).are_equal, obs_of([3, 3]).are_equal) == (0, False, True)
