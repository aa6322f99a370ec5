"""Keeps observations of different modalities where they were to one another before a training.

Tensor axes: n observations, m modalities, d dimensions of the latent.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

FEWEST_MATCHED = 30
"""Observations of a modality alone from which on their moments are matched."""
SCALES = (0.5, 2.0)
"""Least and largest factor of a dimension by which a training is corrected."""


class ModalityMoments(nn.Module):
    r"""A scale and an offset of each dimension of the latent, by the modality that an observation has.

    Where no observation holds two modalities together, a training moves those with one against those with the other, on average
    and in their spread, as no term of a loss compares them (``docs/experiments/single_cell.md``). What all of them share of such
    moves is kept, and the rest taken back: of the latents x before and z after a training, s the ratio of their standard
    deviations and c the difference of the means of z and s x, both over the modalities together, those of a modality m become

    .. math:: z' = s \frac{\sigma_m(x)}{\sigma_m(z)} (z - \mu_m(z)) + s \mu_m(x) + c

    The observations of a modality may have another composition than those of the other: each is compared with itself.

    Parameters
    ----------
    names
        Modalities.
    n_latent
        Dimensions of the latent.
    """

    scale_md: Tensor
    offset_md: Tensor

    def __init__(self, names: Sequence[str], n_latent: int) -> None:
        super().__init__()
        self.names = list(names)
        self.register_buffer("scale_md", torch.ones(len(names), n_latent))
        self.register_buffer("offset_md", torch.zeros(len(names), n_latent))

    def forward(self, mean_nd: Tensor, is_present: Mapping[str, Tensor]) -> Tensor:
        """Return latents, each by the mean of the maps of the modalities that the observation has; as they are where it has none.

        Parameters
        ----------
        mean_nd
            Latents.
        is_present
            (n,) bool per modality.
        """
        has_nm = torch.stack([is_present[name] for name in self.names], 1).to(mean_nd.dtype)
        weight_nm = has_nm / has_nm.sum(1, keepdim=True).clamp(min=1)
        return mean_nd + mean_nd * (weight_nm @ (self.scale_md - 1)) + weight_nm @ self.offset_md

    @torch.no_grad()
    def match(self, before_nd: Tensor, after_nd: Tensor, has_nm: Tensor) -> None:
        """Correct the maps by what a training has done.

        Parameters
        ----------
        before_nd, after_nd
            Latents of observations before and after, by the maps as they are.
        has_nm
            Bool: which modalities each observation has; those with just one are compared.
        """
        alone_n = has_nm.sum(1) == 1
        groups = {m: (alone_n & has_n).nonzero()[:, 0] for m, has_n in enumerate(has_nm.T)}
        groups = {m: at for m, at in groups.items() if len(at) >= FEWEST_MATCHED}
        if len(groups) < 2:
            return
        x, z = ({m: latent_nd[at].double() for m, at in groups.items()} for latent_nd in (before_nd, after_nd))
        n = sum(len(at) for at in groups.values())
        within = [sum(len(part) * part.var(0, correction=0) for part in parts.values()) / n for parts in (x, z)]
        common_d = (within[1] / torch.as_tensor(within[0]).clamp(min=1e-12)).sqrt()
        offset_d = torch.cat(list(z.values())).mean(0) - common_d * torch.cat(list(x.values())).mean(0)
        for m in groups:
            scale_d = common_d * x[m].std(0, correction=0) / z[m].std(0, correction=0).clamp(min=1e-6)
            scale_d = scale_d.clamp(*SCALES)
            shift_d = common_d * x[m].mean(0) + offset_d - scale_d * z[m].mean(0)
            self.scale_md[m] *= scale_d.to(self.scale_md)
            self.offset_md[m] = scale_d.to(self.scale_md) * self.offset_md[m] + shift_d.to(self.scale_md)
