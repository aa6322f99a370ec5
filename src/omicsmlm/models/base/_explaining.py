"""Models that can explain themselves by features: an embedding of each, and attributions of a label to them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from omicsmlm._checks import check_choice, positive_integer, value_error
from omicsmlm._stages import Stages
from omicsmlm._surroundings import in_own_surroundings
from omicsmlm._types import Batch, Grid, Module
from omicsmlm.data import as_categories, find_column, observation_loader
from omicsmlm.training import on_device

from ._embedding import EMBEDDING_BATCH_SIZE, checked_indices
from ._feature_sums import CorrelationSums, LabelSums
from ._model import OmicsModel
from ._records import Config

FeatureEmbedding = Literal["latent", "decoder"]
"""Where features are placed; see :meth:`ExplainingModel.get_feature_embedding`."""
PATH_POWER = 4
"""The path of integration goes as α = t⁴: layer normalisation makes an encoder change most close to the baseline,
where even steps would miss it (with 50 of them, half to nearly all of the difference on blood cells)."""
N_ENDS = 2
"""Beside its steps, the path is computed at both of its ends."""
LEAST_OBSERVATIONS = 3
"""Observations that a correlation needs: through two, any line passes."""
INVERSE_PENALTY = 0.1
"""Inverse of the ridge penalty (scikit-learn's C) of the logistic regression whose logits are attributed: below its default of 1,
as an embedding has dozens of correlated dimensions, between which a weaker penalty would let large opposite weights stand."""
LEAST_VARIANCE = 1e-9
"""Variance along an axis, relative to the largest, under which the axis counts as empty and is not whitened."""
TINY = 1e-30
"""Stands for the largest variance where all observations embed alike."""


class ExplainingModel[M: Module, C: Config, D](OmicsModel[M, C, D]):
    """Abstract: a family whose encoder takes one scaled value per feature, 0 where it is not visible."""

    @abstractmethod
    def _encoded_features(self, modality: str) -> np.ndarray:
        """Return the positions in the vocabulary of the features that the encoder takes, (g,)."""

    @abstractmethod
    def _scaled(self, grids: dict[str, Grid]) -> dict[str, Tensor]:
        """Return the scaled values of each modality, (n, g)."""

    @abstractmethod
    def _embed_scaled(self, scaled: dict[str, Tensor], grids: dict[str, Grid], batch: Batch) -> Tensor:
        """Return the embedding, (n, d), of observations with other scaled values; what is visible of them stays as it is."""

    @abstractmethod
    def _decoder_weights(self, modality: str) -> Tensor:
        """Return the weights of these features in the decoder's last layer, (g, w)."""

    # ---- feature embeddings -------------------------------------------------------------------------------------

    @in_own_surroundings
    def get_feature_embedding(
        self,
        modality: str | None = None,
        *,
        which: FeatureEmbedding = "latent",
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        r"""Return the features of a modality in the latent space, or by their weights in the decoder.

        Parameters
        ----------
        modality
            Whose features; may be left out where the model has one modality.
        which
            "latent": the correlation of each feature with the latent dimensions, in some observations. "decoder": its weights in
            the decoder's last layer, whatever the observations. Between features of like abundance the latter recover known
            relations better, and those of different modalities cannot be compared.
        data
            The object whose observations are correlated; None for the registered one.
        indices
            Positions of observations, or one boolean per observation; None for all. At best several times as many as latent
            dimensions.
        batch_size
            Observations to read at once; None for 1,024.

        Returns
        -------
        pandas.DataFrame
            (g, n_latent) float32, from -1 to 1, with the names of the features that the model encodes; 0 for those
            that do not vary or are not measured. Features of different modalities can be compared. Of the decoder (g, w).

        Raises
        ------
        ValueError
            If the modality is not one of the model's, fewer than three of the observations were measured in it, or there is no such
            embedding.

        Notes
        -----
        With scaled values :math:`x_g` and the whitened embedding :math:`q = Σ^{-1/2}(z - \bar z)`, a feature is at
        :math:`\operatorname{corr}(x_g, q)`, its pattern in the sense of Haufe et al. (NeuroImage 2014). The squared
        length of a row is the fraction of the feature's variance that the embedding explains linearly, and the product of
        two rows is the part of their correlation that passes through the embedding. Rotating or rescaling the latent
        changes no length and no product.
        """
        name = self._asked_modality(modality)
        check_choice("which", which, get_args(FeatureEmbedding))
        features = np.asarray(self.adata_manager.modalities[name]["vocabulary"])[self._encoded_features(name)]
        if which == "decoder":
            return pd.DataFrame(self._decoder_weights(name).detach().cpu().numpy().copy(), index=features)
        manager = self.manager_for(data)
        indices = checked_indices(indices, manager.adata.n_obs)
        q_nd = torch.from_numpy(_whitened(self.get_latent_representation(data, indices, batch_size)))
        q_nd = q_nd.to(device=self.device, dtype=torch.float32)
        found = CorrelationSums(len(features), self.module.n_latent)
        with torch.inference_mode():
            for k, batch in enumerate(observation_loader(manager, indices, size := batch_size or EMBEDDING_BATCH_SIZE)):
                grids = self.parts.tokenizer(on_device(batch, self.device))
                found.add(self._scaled(grids)[name], grids[name].visible, q_nd[k * size : (k + 1) * size])
        if found.n_obs < LEAST_OBSERVATIONS:
            wanted = f"at least {LEAST_OBSERVATIONS} observations that were measured in {name!r}"
            raise value_error("data", wanted, str(found.n_obs), "pass more observations")
        return pd.DataFrame(found.correlations(), index=features)

    # ---- attributions -------------------------------------------------------------------------------------------

    @in_own_surroundings
    def attribute(
        self,
        data: AnnData | MuData | None = None,
        labels: str | Sequence[object] | np.ndarray | pd.Series | None = None,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        n_steps: int = 50,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        r"""Attribute labels to features: integrated gradients of a label's logit.

        A logistic regression predicts the labels from the embedding; each observation's logit of its own label, less that of
        one whose features are all at their mean, is then divided among the observation's features.

        Parameters
        ----------
        data
            The object; None for the registered one. Features are matched by name, modalities may be absent.
        labels
            Column of ``obs``, or one label per observation of the object; observations whose label is missing are left out.
        indices
            Positions of observations, or one boolean per observation; None for all. Labels of others do not count.
        n_steps
            Steps of the integral; the time is proportional to them.
        batch_size
            Observations to explain at once; None for 1,024.

        Returns
        -------
        pandas.DataFrame
            One row per label, modality and feature that some observation of the label has, the highest attribution first:

            - ``label``, ``modality``, ``feature``;
            - ``attribution``: what the feature adds to the logit, in natural logarithms of odds, mean over the
              observations of the label in which it is measured. A feature that is absent can count for a label too;
            - ``positive``: fraction of these observations in which it is above 0;
            - ``mean_inside``, ``mean_outside``: mean value in the observations of the label and in those of all others, in the
              units of the modality.

            ``attrs["completeness_error"]`` is how far the attributions of an observation are from adding up to the difference
            that they divide, and ``attrs["difference"]`` is this difference; both are means of absolute values.

        Raises
        ------
        ValueError
            If there are not as many labels as observations, fewer than two different ones, or no steps.

        Notes
        -----
        With the scaled values :math:`x` and the logit :math:`f`, :math:`a_g = x_g \int_0^1 ∂_g f(αx)\,dα` (Sundararajan
        et al., ICML 2017), computed by captum with :math:`α = t^4`.
        """
        n_steps = positive_integer("n_steps", n_steps, "leave it out for 50")
        manager = self.manager_for(data)
        label_n = _label_column(self.adata if data is None else data, labels)
        indices = checked_indices(indices, manager.adata.n_obs)
        indices = indices[label_n.iloc[indices].notna().to_numpy()]
        code_n, names = pd.factorize(label_n.iloc[indices], sort=True)
        if len(names) < 2:
            raise value_error(
                "labels", "at least two different ones", str(len(names)), "pass observations of several labels"
            )
        directions_kd = _directions(self.get_latent_representation(data, indices, batch_size), code_n, len(names))
        directions_kd = directions_kd.to(self.device)
        sums = {m: LabelSums(len(names), len(self._encoded_features(m))) for m in self.adata_manager.modalities}
        errors, differences = [], []
        loader = observation_loader(manager, indices, size := batch_size or EMBEDDING_BATCH_SIZE)
        with Stages(f"{type(self).__name__}: integrated gradients", len(loader) * (n_steps + N_ENDS)) as stages:
            for k, batch in enumerate(loader):
                part = on_device(batch, self.device)
                own_n = torch.from_numpy(code_n[k * size : (k + 1) * size]).to(self.device)
                grids = self.parts.tokenizer(part)
                found, difference_n = self._integrated(grids, part, directions_kd[own_n], n_steps, stages)
                errors.append((sum(a_ng.sum(1) for a_ng in found.values()) - difference_n).abs().cpu())
                differences.append(difference_n.abs().cpu())
                for name, own in sums.items():
                    own.add(own_n, found[name], grids[name])
        table = pd.concat([self._table(name, own, names) for name, own in sums.items()])
        table = table.sort_values(["label", "attribution"], ascending=[True, False], kind="stable", ignore_index=True)
        table.attrs["completeness_error"] = float(torch.cat(errors).mean())
        table.attrs["difference"] = float(torch.cat(differences).mean())
        return table

    def _integrated(
        self, grids: dict[str, Grid], batch: Batch, directions_nd: Tensor, n_steps: int, stages: Stages
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return each observation's projection divided among its features, (n, g) per modality, and what was divided, (n,)."""
        scaled = self._scaled(grids)
        names = list(scaled)

        def projected(*time_ng: Tensor) -> Tensor:
            stages.step()
            path = {m: scaled[m] * t_ng**PATH_POWER for m, t_ng in zip(names, time_ng, strict=True)}
            return (self._embed_scaled(path, grids, batch) * directions_nd).sum(1)

        self.module.eval()
        # t runs from 0 to 1 in every feature alike: the Jacobian of the path then gives each feature its own part
        start, end = ([fill(scaled[m]) for m in names] for fill in (torch.zeros_like, torch.ones_like))
        from captum.attr import IntegratedGradients  # brings matplotlib along

        # One step at a time, so that the observations captum passes are always those of the batch.
        found = IntegratedGradients(projected).attribute(
            tuple(end), n_steps=n_steps, internal_batch_size=len(directions_nd)
        )
        with torch.no_grad():
            return dict(zip(names, found, strict=True)), projected(*end) - projected(*start)

    def _table(self, modality: str, own: LabelSums, labels: pd.Index) -> pd.DataFrame:
        """Return the rows of a modality in the table of attributions."""
        features = np.asarray(self.adata_manager.modalities[modality]["vocabulary"])[self._encoded_features(modality)]
        columns = {name: value_kg.ravel() for name, value_kg in own.means().items()}
        place = {
            "label": np.repeat(labels.to_numpy(), len(features)),
            "modality": modality,
            "feature": np.tile(features, len(labels)),
        }
        return pd.DataFrame(place | columns)[(own.n_kg > 0).numpy().ravel()]


def _label_column(data: AnnData | MuData, labels: str | Sequence[object] | np.ndarray | pd.Series | None) -> pd.Series:
    """Return one label per observation, as text; missing ones stay missing."""
    if labels is None:
        raise value_error(
            "labels", "a column of obs, or one label per observation", "none", 'pass labels="cell_type", say'
        )
    column = find_column(data, labels) if isinstance(labels, str) else pd.Series(np.asarray(labels, dtype=object))
    if len(column) != data.n_obs:
        found = f"{len(column)} of them"
        raise value_error("labels", f"one for each of {data.n_obs} observations", found, "pass a column of obs")
    return as_categories(column)


def _directions(z_nd: np.ndarray, code_n: np.ndarray, n_labels: int) -> Tensor:
    """Return the weights, (k, d), of a logistic regression of labels on the embedding; they add up to 0 over the labels."""
    scaler = StandardScaler().fit(z_nd)
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000).fit(
        scaler.transform(z_nd), code_n
    )
    weight_kd = model.coef_ if n_labels > 2 else np.concatenate([-model.coef_, model.coef_]) / 2
    return torch.from_numpy((weight_kd / scaler.scale_).astype(np.float32))


def _whitened(z_nd: np.ndarray) -> np.ndarray:
    """Return Σ^(-1/2) (z − mean), (n, d): no dimension correlates with another, and each stays as close to itself as can be."""
    if not len(z_nd):
        return z_nd
    centred_nd = z_nd.astype(np.float64) - z_nd.mean(0, dtype=np.float64)
    variance_d, axes_dd = np.linalg.eigh(centred_nd.T @ centred_nd / len(z_nd))
    held_d = variance_d > LEAST_VARIANCE * max(variance_d[-1], TINY)
    root_d = np.where(held_d, 1 / np.sqrt(np.where(held_d, variance_d, 1.0)), 0.0)
    return centred_nd @ (axes_dd * root_d) @ axes_dd.T
