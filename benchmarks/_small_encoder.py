"""A masked autoencoder for a few hundred bulk samples in plain PyTorch, which OmicsMLM's default is held against.

Scaled values → Linear 256 per modality without bias, over the visible features and divided by √(visible share), summed, with
a learned vector for a modality that is absent → LayerNorm, GELU, dropout .1 → 64, LayerNorm = z → Linear 256, GELU → one
layer per modality. 600 steps of 64 rows, AdamW 1e-3 in one cycle, weight decay 1e-2; a share of U(.3, .9) is hidden in each
batch, and one modality of 30 % of the rows; squared error of hidden values + .25 × that of visible ones.
"""

import numpy as np
import torch
from torch import Tensor, nn

WIDTH, N_LATENT, N_STEPS, N_ROWS = 256, 64, 600, 64


class SmallEncoder(nn.Module):
    """The network; ``measured`` is false where a value is missing or hidden."""

    def __init__(self, n_features: list[int]) -> None:
        super().__init__()
        self.features = nn.ModuleList([nn.Linear(g, WIDTH, bias=False) for g in n_features])
        self.absent = nn.ParameterList([torch.zeros(WIDTH) for _ in n_features])
        self.latent = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.GELU(), nn.Dropout(0.1), nn.Linear(WIDTH, N_LATENT), nn.LayerNorm(N_LATENT)
        )
        self.decoder = nn.Sequential(nn.Linear(N_LATENT, WIDTH), nn.GELU())
        self.heads = nn.ModuleList([nn.Linear(WIDTH, g) for g in n_features])

    def encode(self, x: list[Tensor], measured: list[Tensor]) -> Tensor:
        h_nd = torch.zeros(len(x[0]), WIDTH)
        for layer, absent, x_ng, measured_ng in zip(self.features, self.absent, x, measured, strict=True):
            share_n1 = measured_ng.float().mean(1, keepdim=True)
            h_nd = h_nd + layer(x_ng * measured_ng / share_n1.clamp(min=1e-3).sqrt()) + (share_n1 == 0) * absent
        return self.latent(h_nd)


def hidden(measured: list[Tensor], generator: torch.Generator) -> list[Tensor]:
    """What stays visible: of each modality a share, and never nothing of a row."""
    rate = 0.3 + 0.6 * torch.rand((), generator=generator)
    loses_n, which_n = (torch.rand(len(measured[0]), generator=generator) for _ in range(2))
    visible = []
    for m, measured_ng in enumerate(measured):
        others_n = torch.stack([other.any(1) for k, other in enumerate(measured) if k != m]).any(0)
        gone_n = (loses_n < 0.3) & ((which_n * len(measured)).long() == m) & others_n
        visible.append(measured_ng & (torch.rand(measured_ng.shape, generator=generator) > rate) & ~gone_n[:, None])
    return visible


def embedding(blocks: list[np.ndarray], trained_n: np.ndarray, seed: int) -> np.ndarray:
    """Train on some rows; give (n, 64) of all. Blocks are (n, g) per modality, NaN where a row lacks it."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, measured = [], []
    for block in blocks:
        mean_g, deviation_g = np.nanmean(block[trained_n], 0), np.nanstd(block[trained_n], 0)
        z_ng = ((block - mean_g) / np.where(deviation_g > 1e-8, deviation_g, 1)).clip(-10, 10)
        x.append(torch.from_numpy(np.nan_to_num(z_ng)).float())
        measured.append(torch.from_numpy(~np.isnan(block)))
    net, rows = SmallEncoder([block.shape[1] for block in blocks]), torch.from_numpy(np.flatnonzero(trained_n))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=N_STEPS)
    for _ in range(N_STEPS):
        drawn = rows[torch.randint(len(rows), (N_ROWS,), generator=generator)]
        x_drawn, measured_drawn = [part[drawn] for part in x], [part[drawn] for part in measured]
        visible = hidden(measured_drawn, generator)
        h_nd, loss = net.decoder(net.encode(x_drawn, visible)), torch.zeros(())
        for head, x_ng, measured_ng, visible_ng in zip(net.heads, x_drawn, measured_drawn, visible, strict=True):
            error_ng, hidden_ng = (head(h_nd) - x_ng).square(), measured_ng & ~visible_ng
            for weight, judged_ng in ((1.0, hidden_ng), (0.25, visible_ng)):
                loss = loss + weight * (error_ng * judged_ng).sum() / judged_ng.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return net.eval().encode(x, measured).numpy()
