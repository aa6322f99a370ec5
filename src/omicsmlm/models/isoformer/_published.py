"""What IsoFormer finds out about the published encoders that it is given, before it reads any weights."""

import logging
from collections.abc import Mapping, Sequence

from omicsmlm._types import Batch
from omicsmlm.nn import state_width

from ._config import ENFORMER_LENGTH, KINDS, SequenceEncoder

logger = logging.getLogger(__name__)


def published_widths(encoders: Mapping[str, SequenceEncoder], sample: Sequence[Batch]) -> dict[str, int]:
    """Check that published encoders are of the sequences that they are to read, and return the width of the states of each.

    Parameters
    ----------
    encoders
        Encoder by name of the sequence.
    sample
        Observations, by which it is told where Enformer would see less than it was trained on.

    Raises
    ------
    ValueError
        If an encoder cannot be had, or is of another kind of sequences.
    """
    widths = {}
    for name, encoder in encoders.items():
        if encoder.source is None:
            continue
        widths[name] = state_width(encoder.source, encoder.reading(name, KINDS[name]))
        if encoder.library == "enformer":
            _tell_short(name, encoder, sample)
    return widths


def _tell_short(name: str, encoder: SequenceEncoder, sample: Sequence[Batch]) -> None:
    """Warn where no sequence has the length that Enformer was trained on."""
    lengths = [
        batch.sequences[name].offsets.diff().amax() for batch in sample if len(batch.sequences[name].offsets) > 1
    ]
    longest = min(max(map(int, lengths), default=0), encoder.truncation(name).length)
    if longest < ENFORMER_LENGTH:
        logger.warning(
            "%s: Enformer was trained on %s base pairs, and is given %s at most; "
            "pp.extract_sequences(…, width=%d) extracts as many, and max_length=None keeps them.",
            name,
            f"{ENFORMER_LENGTH:,}",
            f"{longest:,}",
            ENFORMER_LENGTH,
        )
