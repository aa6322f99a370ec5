"""Scores of embeddings, and the plain baselines that every table must show."""

from omicsmlm.evaluation._probe import probe

__all__ = ["probe"]
