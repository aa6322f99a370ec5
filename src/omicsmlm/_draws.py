"""Random numbers of a training step, each keyed by seed, step and observation.

This is a counter-based generator. A stateful one hands out its numbers in order, so that the numbers of an observation
depend on those before it in the batch. Here a number is a hash of its key: the same on every device, in every batch with
the observation, and on every rank of a distributed training.
"""

import math
from typing import Self

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""Constants of SplitMix64 (Steele, Lea and Flood 2014): its increment, 2⁶⁴ / golden ratio, and its two multipliers."""
_LONG = 0xFFFF_FFFF_FFFF_FFFF
"""Mask of 64 bits."""
_WORD_FIRST, _WORD_SECOND = -2048144789, -1028477387
"""Constants of MurmurHash3's 32-bit finaliser (0x85EBCA6B and 0xC2B2AE35 as signed numbers)."""
_BITS = 24
"""Bits of precision of a float32: more would round up to 1."""


class Draws:
    """Random numbers for the observations of one step; each call returns new ones.

    Parameters
    ----------
    seed
        Seed of the step, made of the seed of the training and the number of the step.
    keys_n
        (n,) int64: a key of each observation, say its position in the object.

    Examples
    --------
    >>> alone, among = Draws(0, torch.tensor([7])), Draws(0, torch.tensor([3, 7, 5]))
    >>> bool((alone.uniform(4)[0] == among.uniform(4)[1]).all())
    True
    """

    def __init__(self, seed: int, keys_n: Tensor) -> None:
        self._seed = seed
        self._keys_n = keys_n
        self._n_calls = 0
        self._word_n: Tensor | None = None
        self._word_g = torch.empty(0, dtype=torch.int32, device=keys_n.device)

    def by(self, keys_u: Tensor) -> Self:
        """Return draws of the same step for things other than observations, (u,) int64, say distinct sequences."""
        return type(self)(self._next(), keys_u)

    def uniform(self, *shape: int) -> Tensor:
        """Return (n, *shape) float32, uniform in [0, 1)."""
        if not shape:
            return _unit(self._words() ^ self._call())
        word_g = self._places(math.prod(shape)) ^ self._call()
        return _unit(self._words()[:, None] ^ word_g).view(len(self._keys_n), *shape)

    def bernoulli(self, probability_n: Tensor, width: int) -> Tensor:
        """Return (n, width) bool, true with the probability of the observation, which is rounded to a multiple of 2⁻¹⁵.

        A probability of 0 never yields true and one of 1 always does. Each 32-bit hash serves two entries, as 15 bits are
        enough to compare: a mask costs a fifth of as many uniform numbers.
        """
        n, half = len(probability_n), (width + 1) // 2
        bits_nw = _halves(self._words()[:, None] ^ (self._places(half) ^ self._call())).view(n, 2 * half)
        most_n1 = (probability_n.float() * 2**15).round().sub_(1).to(torch.int16)[:, None]
        return bits_nw.le_(most_n1)[:, :width].to(torch.int8).view(torch.bool)

    def normal(self, width: int) -> Tensor:
        """Return (n, width) float32 standard normal numbers (Box and Muller 1958).

        ``log1p(-u)``, as u may be 0 but is never 1.
        """
        radius_nd = (-2 * torch.log1p(-self.uniform(width))).sqrt()
        return radius_nd * torch.cos(2 * math.pi * self.uniform(width))

    def tokens(self, of_t: Tensor, position_t: Tensor) -> Tensor:
        """Return (t,) float32, uniform in [0, 1), for packed tokens, given their observation and position within it."""
        return _unit((self._words() ^ self._call())[of_t] ^ _word(_mix(position_t)))

    def shared(self, size: int) -> Tensor:
        """Return (size,) float32, uniform in [0, 1), that all observations of the step have in common."""
        return _unit(self._places(size) ^ self._call())

    def _next(self) -> int:
        """Return a seed of the next call: 63 bits, as int64 holds them."""
        self._n_calls += 1
        return hash((self._seed, self._n_calls)) & 0x7FFF_FFFF_FFFF_FFFF

    def _call(self) -> int:
        """Return the hash of the next call, computed on the host, as a signed 32-bit integer."""
        return _signed(_mixed(self._next())) >> 32

    def _words(self) -> Tensor:
        """Return (n,) int32, a hash of the seed and of each key, computed once a step."""
        if self._word_n is None:
            self._word_n = _word(_mix(self._keys_n + _signed(_mixed(self._seed))))
        return self._word_n

    def _places(self, width: int) -> Tensor:
        """Return (width,) int32, hashes of the positions within an observation."""
        if len(self._word_g) < width:
            self._word_g = _word(_mix(torch.arange(width, device=self._keys_n.device)))
        return self._word_g[:width]


def _mixed(number: int) -> int:
    """Hash 64 bits by SplitMix64 on the host."""
    bits = (number * _GOLDEN + _GOLDEN) & _LONG
    bits = ((bits ^ (bits >> 30)) * _FIRST) & _LONG
    bits = ((bits ^ (bits >> 27)) * _SECOND) & _LONG
    return bits ^ (bits >> 31)


def _signed(number: int) -> int:
    """Return the signed integer with the same lower 64 bits: two's complement."""
    number &= _LONG
    return number - (1 << 64) if number >> 63 else number


def _shifted(bits: Tensor, n: int) -> Tensor:
    """Shift to the right, filling with zeros: ``>>`` of int64 would fill with the sign bit."""
    return (bits >> n) & ((1 << (64 - n)) - 1)


def _mix(keys: Tensor) -> Tensor:
    """Hash int64 by SplitMix64; its products wrap around at 64 bits, as those of the published unsigned numbers do."""
    bits = keys * _signed(_GOLDEN) + _signed(_GOLDEN)
    bits = (bits ^ _shifted(bits, 30)) * _signed(_FIRST)
    bits = (bits ^ _shifted(bits, 27)) * _signed(_SECOND)
    return bits ^ _shifted(bits, 31)


def _word(bits: Tensor) -> Tensor:
    """Return the upper 32 bits of int64 as int32."""
    return (bits >> 32).int()


def _halves(word: Tensor) -> Tensor:
    """Hash int32 once more, in place, and return each half's 15 bits as non-negative int16: twice as many numbers."""
    word.mul_(_WORD_FIRST)
    word.bitwise_xor_((word >> 13).bitwise_and_((1 << 19) - 1))
    word.mul_(_WORD_SECOND)
    # ``>>`` fills with the sign bit, and a bit XOR itself is 0: the upper half is non-negative as int16. The mask clears the
    # sign bit of the lower half.
    word.bitwise_xor_(word >> 16)
    return word.bitwise_and_(-1 - (1 << 15)).view(torch.int16)


def _unit(word: Tensor) -> Tensor:
    """Hash int32 once more, in place, and return its upper bits as float32 in [0, 1)."""
    word.mul_(_WORD_FIRST)
    word.bitwise_xor_((word >> 13).bitwise_and_((1 << 19) - 1))
    word.mul_(_WORD_SECOND)
    return (word >> (32 - _BITS)).bitwise_and_((1 << _BITS) - 1).float().mul_(2.0**-_BITS)
