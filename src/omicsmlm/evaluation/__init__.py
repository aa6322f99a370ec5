"""Scores of embeddings, and the plain baselines that every table must show."""

from omicsmlm.evaluation import baselines, perturbation, sequence_baselines, survival
from omicsmlm.evaluation._averages import avg_bio_batch
from omicsmlm.evaluation._benchmark import benchmark
from omicsmlm.evaluation._calibration import reliability
from omicsmlm.evaluation._differential import differential_features
from omicsmlm.evaluation._paired import Paired, mcnemar, sign_flip
from omicsmlm.evaluation._probe import probe, probe_predictions
from omicsmlm.evaluation._relationships import relationship_recall
from omicsmlm.evaluation._sequence_split import homology_groups, sequence_split
from omicsmlm.evaluation._shuffle import shuffle_modality
from omicsmlm.evaluation._splits import Fold, splits

__all__ = [
    "Fold",
    "Paired",
    "avg_bio_batch",
    "baselines",
    "benchmark",
    "differential_features",
    "homology_groups",
    "mcnemar",
    "perturbation",
    "probe",
    "probe_predictions",
    "relationship_recall",
    "reliability",
    "sequence_baselines",
    "sequence_split",
    "shuffle_modality",
    "sign_flip",
    "splits",
    "survival",
]
