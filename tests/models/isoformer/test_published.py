"""What is found out of published encoders before their weights are read."""

import logging

import pytest

from omicsmlm import SequenceEncoder
from omicsmlm._types import Batch
from omicsmlm.models.isoformer import _published
from omicsmlm.models.isoformer._published import published_widths
from tests.objects import NO_BATCH, letters_of


def sample_of(*texts: str) -> list[Batch]:
    return [NO_BATCH._replace(sequences={"dna": letters_of(*texts)})]


def test_the_widths_are_those_of_published_encoders(checkpoints, caplog):
    esm = checkpoints("esm").source.path
    encoders = {"dna": SequenceEncoder(), "protein": SequenceEncoder("transformers", esm)}
    assert published_widths(encoders, sample_of("ACGT")) == {"protein": 16}
    assert not caplog.records


@pytest.mark.parametrize(
    ("lengths", "max_length", "most"),
    [([30, 90], None, "90"), ([90], 50, "50"), ([], None, "0"), ([200, 10], 120, None), ([200, 100], None, None)],
)
def test_enformer_is_told_to_get_less_than_it_was_trained_on(
    checkpoints, caplog, monkeypatch, lengths, max_length, most
):
    monkeypatch.setattr(_published, "ENFORMER_LENGTH", 100)
    encoder = SequenceEncoder("enformer", checkpoints("enformer").source.path, max_length=max_length)
    sample = sample_of(*("A" * n for n in lengths))
    assert published_widths({"dna": encoder}, sample) == {"dna": 48}
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if most is None:
        assert not told
    else:
        (message,) = told
        assert message.startswith(
            f"dna: Enformer was trained on 100 base pairs, and is given {most} at most; pp.extract"
        )
