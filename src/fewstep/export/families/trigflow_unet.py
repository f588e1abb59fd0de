"""TrigFlow UNet, the network of the toons16 models: F(x_t / sigma_data, t, labels), Lu & Song 2024 (arXiv 2410.11081).

x_t = cos(t) x_0 + sin(t) z with z ~ N(0, sigma_data^2) and t in [0, pi/2]; the denoiser is
x_0 = cos(t) x_t - sin(t) sigma_data F.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 8
TIME_FREQUENCIES = 24
MAX_TIME_FREQUENCY = 24.0  # low, so that dF/dt, the tangent of consistency training, stays tame


@dataclass(frozen=True)
class TrigFlowUNetConfig:
    """channels: width of each of the three levels; labels: number of values of each label, without its null value."""

    image_size: int = 32
    channels: tuple[int, int, int] = (48, 96, 192)
    labels: tuple[int, ...] = (16, 8, 10)
    embedding: int = 192
    patch: int = 2
    heads: int = 4
    sigma_data: float = 0.5


PRESETS = {
    "toons16-32": TrigFlowUNetConfig(),
    "toons16-64": TrigFlowUNetConfig(image_size=64, channels=(96, 192, 320), embedding=320),
}


def _zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class FilmBlock(nn.Module):
    """Residual block whose second norm is scaled and shifted by the embedding e: (B, E)."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels, affine=False)
        self.film = nn.Linear(embedding, 2 * channels)
        self.conv2 = _zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(e)[:, :, None, None].chunk(2, dim=1)
        residual: Tensor = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return x + residual


class SelfAttention(nn.Module):
    """Attention over all pixels of x: (B, C, H, W), with a residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        C, H, W = x.shape[1:]
        D = C // self.heads
        qkv = self.qkv(self.norm(x)).reshape(-1, 3, self.heads, D, H * W)
        q, k, v = qkv[:, 0], qkv[:, 1], qkv[:, 2]  # (B, heads, D, N)
        weights = torch.softmax(q.transpose(-1, -2) @ k * D**-0.5, dim=-1)
        attended: Tensor = self.out((v @ weights.transpose(-1, -2)).reshape(-1, C, H, W))
        return x + attended


class TrigFlowUNet(nn.Module):
    """Its F has the shape of x: (B, 3, H, W)."""

    frequencies: Tensor

    def __init__(self, config: TrigFlowUNetConfig = PRESETS["toons16-32"]) -> None:
        super().__init__()
        self.config = config
        a, b, c = config.channels
        E, pixels = config.embedding, 3 * config.patch**2
        frequencies = torch.exp(torch.linspace(0, math.log(MAX_TIME_FREQUENCY), TIME_FREQUENCIES))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.time_in = nn.Linear(2 * TIME_FREQUENCIES, E)
        self.time_out = nn.Linear(E, E)
        tables = [nn.Embedding(n + 1, E) for n in config.labels]  # row n: the null label
        for table in tables:
            nn.init.normal_(table.weight, std=0.5)
        self.label_tables = nn.ModuleList(tables)

        self.conv_in = nn.Conv2d(pixels, a, 3, padding=1)
        self.down1 = FilmBlock(a, E)
        self.shrink1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.down2 = FilmBlock(b, E)
        self.shrink2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.down3 = FilmBlock(c, E)
        self.attention = SelfAttention(c, config.heads)
        self.middle = FilmBlock(c, E)
        self.up3 = FilmBlock(c, E)
        self.grow2 = nn.Conv2d(c, 4 * b, 1)
        self.skip2 = nn.Conv2d(2 * b, b, 1)
        self.up2 = FilmBlock(b, E)
        self.grow1 = nn.Conv2d(b, 4 * a, 1)
        self.skip1 = nn.Conv2d(2 * a, a, 1)
        self.up1 = FilmBlock(a, E)
        self.norm_out = nn.GroupNorm(GROUPS, a)
        self.conv_out = _zeroed(nn.Conv2d(a, pixels, 3, padding=1))

    @property
    def null_labels(self) -> Tensor:
        return torch.tensor(self.config.labels)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Returns F. x: (B, 3, H, W), the state over sigma_data; t: (B,) in [0, pi/2]; labels: (B, L) int64."""
        e = self.embed(t, labels)
        h1, h2, h3 = self.encode(x, e)
        h = self.up3(self.middle(h3, e), e)
        h = self.up2(self.skip2(torch.cat([F.pixel_shuffle(self.grow2(h), 2), h2], dim=1)), e)
        h = self.up1(self.skip1(torch.cat([F.pixel_shuffle(self.grow1(h), 2), h1], dim=1)), e)
        return F.pixel_shuffle(self.conv_out(F.silu(self.norm_out(h))), self.config.patch)

    def embed(self, t: Tensor, labels: Tensor) -> Tensor:
        """What the blocks are told of t and labels: (B, E)."""
        angles = t[:, None] * self.frequencies
        e: Tensor = self.time_out(F.silu(self.time_in(torch.cat([angles.cos(), angles.sin()], dim=1))))
        for i, table in enumerate(self.label_tables):
            e = e + table(labels[:, i])
        return F.silu(e)

    def encode(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of x at the three levels, under the embedding e."""
        h1 = self.down1(self.conv_in(F.pixel_unshuffle(x, self.config.patch)), e)
        h2 = self.down2(self.shrink1(h1), e)
        return h1, h2, self.attention(self.down3(self.shrink2(h2), e))
