"""Scores of embeddings, and the plain baselines that every table must show."""

from omicsmlm.evaluation import baselines
from omicsmlm.evaluation._averages import avg_bio_batch
from omicsmlm.evaluation._benchmark import benchmark
from omicsmlm.evaluation._calibration import reliability
from omicsmlm.evaluation._probe import probe
from omicsmlm.evaluation._shuffle import shuffle_modality

__all__ = ["avg_bio_batch", "baselines", "benchmark", "probe", "reliability", "shuffle_modality"]
