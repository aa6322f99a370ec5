"""Exact attention among the tokens of each segment, on packed tokens: no padding to pay for, and none to leak.

Tensor axes: n segments, t query tokens, s key tokens, l and m tokens of one segment, h heads, d width of a head.
"""

from importlib.util import find_spec
from typing import Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from omicsmlm._checks import value_error
from omicsmlm._sizes import is_on_host

Backend = Literal["varlen", "loop", "padded"]
"""``varlen``: one kernel for all segments (CUDA, half precision). ``loop``: a call per segment. ``padded``: segments made equally long."""

_HALF = (torch.bfloat16, torch.float16)


class Segments(NamedTuple):
    """Where the segments of a packed batch begin and end: the tokens of one observation, or of one sequence.

    Made once per batch, as reading lengths off the offsets waits for the device.
    """

    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""
    lengths: list[int] | None
    """n lengths; None where only the device knows them, and there may be tokens that are no segment's behind the last one."""
    most: int = 0
    """Length of the longest segment, or more, where the lengths are not known."""

    @classmethod
    def of(cls, offsets: Tensor, lengths: list[int] | None = None, longest: int | None = None) -> Self:
        """Read the lengths off (n + 1,) cumulative ones, unless they, or what none is longer than, are known."""
        if lengths is None and (longest is None or is_on_host(offsets)):
            lengths = offsets.diff().tolist()
        return cls(offsets, lengths, longest or 0)

    @property
    def n(self) -> int:
        """Number of segments."""
        return len(self.offsets) - 1

    @property
    def longest(self) -> int:
        """Length of the longest segment, or more; 0 where there is none."""
        return self.most if self.lengths is None else max(self.lengths, default=0)

    @property
    def are_equal(self) -> bool:
        """Whether all segments are known to be of one length, and there are any."""
        return self.lengths is not None and len(set(self.lengths)) == 1

    def of_token(self, n_tokens: int) -> Tensor:
        """Return the segment of each token, (t,) int64; n for those that are no segment's."""
        if self.lengths is None:
            place_t = torch.arange(n_tokens, device=self.offsets.device)
            return torch.bucketize(place_t, self.offsets[1:], right=True)
        segment_n = torch.arange(self.n, device=self.offsets.device)
        return torch.repeat_interleave(segment_n, self.offsets.diff(), output_size=n_tokens)


def attend(
    query_thd: Tensor,
    key_shd: Tensor,
    value_shd: Tensor,
    segments: Segments,
    key_segments: Segments | None = None,
    backend: Backend | None = None,
) -> Tensor:
    r"""Let the queries of each segment attend to the keys of the same segment.

    For a segment i with queries :math:`Q_i`, keys :math:`K_i` and values :math:`V_i`, per head,

    .. math:: O_i = \operatorname{softmax}(Q_i K_i^\top / \sqrt d)\, V_i

    (Vaswani et al. 2017, equation 1). Queries of a segment without keys get zeros. What a segment gets depends on nothing else
    in the batch, up to rounding.

    Parameters
    ----------
    query_thd
        (t, h, d) of the segments, one after the other.
    key_shd, value_shd
        (s, h, d) of the same segments, in the same order.
    segments
        The segments of the queries: segment i owns the tokens ``offsets[i]:offsets[i + 1]``.
    key_segments
        The segments of the keys, for cross-attention; None where they are those of the queries.
    backend
        None for the best one of the device and the type: "varlen" on CUDA in bfloat16 or float16, "padded" on CUDA
        otherwise, "loop" on CPU.

    Returns
    -------
    torch.Tensor
        (t, h, d), of the type of the queries.

    Raises
    ------
    ValueError
        If the segments do not cover the tokens, or the back end does not exist or cannot work here.

    Examples
    --------
    A token alone in its segment attends to itself:

    >>> x_thd = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    >>> attend(x_thd, x_thd, x_thd, Segments.of(torch.tensor([0, 1, 2, 3]))).flatten().tolist()
    [1.0, 2.0, 3.0]
    """
    key_segments = segments if key_segments is None else key_segments
    _check_covered("query", len(query_thd), segments)
    _check_covered("key", len(key_shd), key_segments)
    if segments.n != key_segments.n:
        raise value_error(
            "attention",
            f"as many segments of keys as of queries ({segments.n})",
            str(key_segments.n),
            "give a segment without keys a length of 0",
        )
    if not query_thd.numel():
        return query_thd
    match backend or _best(query_thd, segments, key_segments):
        case "varlen":
            return _varlen(query_thd, key_shd, value_shd, segments, key_segments)
        case "loop":
            return _loop(query_thd, key_shd, value_shd, segments, key_segments)
        case "padded":
            return _padded(query_thd, key_shd, value_shd, segments, key_segments)
        case other:
            raise value_error(
                "backend", " or ".join(map(repr, get_args(Backend))), repr(other), "leave it out for the best"
            )


def _best(query_thd: Tensor, segments: Segments, key_segments: Segments) -> Backend:
    if query_thd.device.type == "cpu" and segments.lengths is not None and key_segments.lengths is not None:
        return "loop"
    return "varlen" if _fits_varlen(query_thd) else "padded"


def _fits_varlen(query_thd: Tensor) -> bool:
    """Return whether the kernel takes these: Flash Attention wants Ampere or newer, and heads of 8, 16, … 256."""
    return (
        query_thd.device.type == "cuda"
        and query_thd.dtype in _HALF
        and query_thd.shape[2] % 8 == 0
        and query_thd.shape[2] <= 256
        and torch.cuda.get_device_capability(query_thd.device) >= (8, 0)
        and find_spec("torch.nn.attention.varlen") is not None  # PyTorch 2.10 and newer
    )


def _varlen(
    query_thd: Tensor, key_shd: Tensor, value_shd: Tensor, segments: Segments, key_segments: Segments
) -> Tensor:
    if not _fits_varlen(query_thd):
        raise value_error(
            "backend",
            "for 'varlen' heads of a multiple of 8 up to 256 in bfloat16 or float16, on a CUDA device of capability 8.0, "
            "with PyTorch 2.10",
            f"heads of {query_thd.shape[2]} in {query_thd.dtype} on {query_thd.device} with PyTorch {torch.__version__}",
            "leave it out for the best",
        )
    from torch.nn.attention.varlen import varlen_attn

    out_thd = varlen_attn(
        query_thd.contiguous(),
        key_shd.contiguous(),
        value_shd.contiguous(),
        segments.offsets.int(),
        key_segments.offsets.int(),
        segments.longest,
        key_segments.longest,
    )
    assert isinstance(out_thd, Tensor)  # a pair only if log-sum-exps are asked for
    return _without_keyless(out_thd, segments, key_segments)


def _loop(query_thd: Tensor, key_shd: Tensor, value_shd: Tensor, segments: Segments, key_segments: Segments) -> Tensor:
    assert segments.lengths is not None
    assert key_segments.lengths is not None
    if segments.are_equal and key_segments.are_equal and key_segments.longest:  # a grid needs no loop
        query_nlhd, key_nmhd, value_nmhd = (x.unflatten(0, (segments.n, -1)) for x in (query_thd, key_shd, value_shd))
        return _dense(query_nlhd, key_nmhd, value_nmhd).flatten(0, 1)
    per_segment = zip(
        query_thd.split(segments.lengths),
        key_shd.split(key_segments.lengths),
        value_shd.split(key_segments.lengths),
        strict=True,
    )
    out = [
        _dense(query_lhd[None], key_mhd[None], value_mhd[None])[0] if len(key_mhd) else torch.zeros_like(query_lhd)
        for query_lhd, key_mhd, value_mhd in per_segment
    ]
    return torch.cat(out)


def _padded(
    query_thd: Tensor, key_shd: Tensor, value_shd: Tensor, segments: Segments, key_segments: Segments
) -> Tensor:
    if not key_segments.longest:
        return torch.zeros_like(query_thd)
    place_t, place_s = _places(segments, len(query_thd)), _places(key_segments, len(key_shd))
    shape = segments.n, key_segments.longest
    query_nlhd = _pad(query_thd, place_t, (segments.n, segments.longest))
    key_nmhd, value_nmhd = _pad(key_shd, place_s, shape), _pad(value_shd, place_s, shape)
    length_n = key_segments.offsets.diff().clamp(min=1)  # one key of nothing, where there is none: a softmax needs one
    visible_nm = torch.arange(key_segments.longest, device=query_thd.device) < length_n[:, None]
    out_nlhd = _dense(query_nlhd, key_nmhd, value_nmhd, visible_nm[:, None, None, :])
    out_thd = out_nlhd.flatten(0, 1)[place_t.clamp(max=segments.n * segments.longest - 1)]
    return _without_keyless(out_thd, segments, key_segments)


def _dense(query_nlhd: Tensor, key_nmhd: Tensor, value_nmhd: Tensor, visible: Tensor | None = None) -> Tensor:
    query_nhld, key_nhmd, value_nhmd = (x.transpose(1, 2) for x in (query_nlhd, key_nmhd, value_nmhd))
    return F.scaled_dot_product_attention(query_nhld, key_nhmd, value_nhmd, attn_mask=visible).transpose(1, 2)


def _places(segments: Segments, n_tokens: int) -> Tensor:
    """Return the (t,) position of each token among those of the padded segments; the one behind them to those of no segment."""
    segment_t = segments.of_token(n_tokens)
    place_t = torch.arange(n_tokens, device=segment_t.device) - segments.offsets[segment_t]
    return torch.where(segment_t < segments.n, place_t + segment_t * segments.longest, segments.n * segments.longest)


def _pad(x_thd: Tensor, place_t: Tensor, shape: tuple[int, int]) -> Tensor:
    padded = x_thd.new_zeros(shape[0] * shape[1] + 1, *x_thd.shape[1:])
    return padded.index_copy(0, place_t, x_thd)[:-1].unflatten(0, shape)


def _without_keyless(out_thd: Tensor, segments: Segments, key_segments: Segments) -> Tensor:
    """Set to zero what queries without keys got, and those of no segment: a kernel leaves there what was in memory."""
    if segments.lengths is not None and key_segments.lengths is not None and all(key_segments.lengths):
        return out_thd
    is_keyless_m = torch.cat([key_segments.offsets.diff() == 0, key_segments.offsets.new_ones(1, dtype=torch.bool)])
    return out_thd.masked_fill(is_keyless_m[segments.of_token(len(out_thd))][:, None, None], 0)


def _check_covered(name: str, n_tokens: int, segments: Segments) -> None:
    if segments.lengths is None:  # then only the device can tell
        return
    if sum(segments.lengths) != n_tokens or min(segments.lengths, default=0) < 0:
        raise value_error(
            "attention",
            f"segments that cover the {n_tokens} {name} tokens",
            f"lengths that sum to {sum(segments.lengths)}",
            "pass the cumulative lengths of these very tokens, from 0 on",
        )
