"""How well an embedding tells what perturbations do: pure functions of arrays, after post-processing on controls."""

from omicsmlm.evaluation.perturbation._consistency import consistency
from omicsmlm.evaluation.perturbation._controls import centre, profiles, standardise, tvn
from omicsmlm.evaluation.perturbation._inversion import inversion
from omicsmlm.evaluation.perturbation._mixing import ilisi
from omicsmlm.evaluation.perturbation._retrieval import retrieval

__all__ = ["centre", "consistency", "ilisi", "inversion", "profiles", "retrieval", "standardise", "tvn"]
