"""Latents to pictures and back: AutoencoderKL of Stable Diffusion and FLUX, and DC-AE of SANA."""

from typing import Any

from torch import Tensor, nn

from fewstep.engine.checks import refuse
from fewstep.export.families.family import Config, Network, Networks, Size


def autoencoder_kl(latent_channels: int, **config: object) -> tuple[Network, Network]:
    """Tiny and full size of the AutoencoderKL that SD, SDXL and FLUX share but for the latent."""
    return tuple(
        Network(
            "diffusers",
            "AutoencoderKL",
            {
                "block_out_channels": channels,
                "layers_per_block": layers,
                "norm_num_groups": groups,
                "down_block_types": ("DownEncoderBlock2D",) * len(channels),
                "up_block_types": ("UpDecoderBlock2D",) * len(channels),
                "latent_channels": latent_channels,
                **config,
            },
        )
        for channels, layers, groups in (((16, 32), 1, 2), ((128, 256, 512, 512), 2, 32))
    )  # type: ignore[return-value]


DC_AE_TINY: Config = {
    "latent_channels": 4,
    "attention_head_dim": 8,
    "encoder_block_types": ("ResBlock", "EfficientViTBlock"),
    "decoder_block_types": ("ResBlock", "EfficientViTBlock"),
    "encoder_block_out_channels": (16, 32),
    "decoder_block_out_channels": (16, 32),
    "encoder_layers_per_block": (1, 1),
    "decoder_layers_per_block": (1, 1),
    "encoder_qkv_multiscales": ((), (5,)),
    "decoder_qkv_multiscales": ((), (5,)),
    "downsample_block_type": "conv",
    "upsample_block_type": "interpolate",
    "scaling_factor": 0.41407,
}
DC_AE_FULL: Config = {
    "latent_channels": 32,
    "attention_head_dim": 32,
    "encoder_block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
    "decoder_block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
    "encoder_block_out_channels": (128, 256, 512, 512, 1024, 1024),
    "decoder_block_out_channels": (128, 256, 512, 512, 1024, 1024),
    "encoder_layers_per_block": (2, 2, 2, 3, 3, 3),
    "decoder_layers_per_block": (3, 3, 3, 3, 3, 3),
    "encoder_qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
    "decoder_qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
    "downsample_block_type": "conv",
    "upsample_block_type": "interpolate",
    "scaling_factor": 0.41407,
}


AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")


def compression(vae: Network) -> int:
    """Pixels a latent's side."""
    key = {
        "AutoencoderTiny": "decoder_block_out_channels",
        "AutoencoderDC": "decoder_block_out_channels",
        "AutoencoderKLQwenImage": "dim_mult",
    }
    return int(2 ** (len(vae.setting(key.get(vae.kind, "block_out_channels"))) - 1))


def latent_shape(
    denoiser: Network, vae: Network, image: tuple[int, int] | None, patch: int = 1
) -> tuple[int, int, int]:
    """(C, H, W) of a request's latent: of the denoiser's own sample_size unless an image (H, W) is asked for.

    C: the denoiser's in_channels. Raises InputError for an image that is no whole number of patches of latents.
    """
    channels, factor = int(denoiser.setting("in_channels")), compression(vae)
    if image is None:
        side = denoiser.setting("sample_size")
        rows, columns = (side, side) if isinstance(side, int) else side
        return channels, int(rows), int(columns)
    for name, pixels in zip(("height", "width"), image, strict=True):
        if pixels % (factor * patch):
            raise refuse(name, f"a multiple of {factor * patch}", pixels)
    return channels, image[0] // factor, image[1] // factor


def image_shape(vae: Network, latent: tuple[int, int, int]) -> tuple[int, int]:
    factor = compression(vae)
    return latent[1] * factor, latent[2] * factor


class LatentDecoder(nn.Module):
    """x / scaling_factor + shift_factor through an autoencoder's decoder."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scaling_factor = float(vae.config.scaling_factor)
        self.shift_factor = float(getattr(vae.config, "shift_factor", None) or 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w) float32 -> (B, 3, H, W) in the network's dtype."""
        vae: Any = self.vae
        pixels: Tensor = vae.decode((x / self.scaling_factor + self.shift_factor).to(vae.dtype), return_dict=False)[0]
        return pixels


def latent_decoder(networks: Networks, size: Size) -> nn.Module:
    return LatentDecoder(networks["vae"])


class LatentEncoder(nn.Module):
    """The inverse: (what an autoencoder's encoder makes - shift_factor) * scaling_factor."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scaling_factor = float(vae.config.scaling_factor)
        self.shift_factor = float(getattr(vae.config, "shift_factor", None) or 0.0)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """pixels: (B, 3, H, W) -> float32 (B, C, h, w): x_0, or of an AutoencoderKL its mean and standard deviation."""
        vae: Any = self.vae
        found = vae.encode(pixels.to(vae.dtype))
        if not hasattr(found, "latent_dist"):
            return ((found[0].float() - self.shift_factor) * self.scaling_factor,)
        mean, std = found.latent_dist.mean.float(), found.latent_dist.std.float()
        return (mean - self.shift_factor) * self.scaling_factor, std * self.scaling_factor


def latent_encoder(networks: Networks, size: Size) -> nn.Module:
    return LatentEncoder(networks["vae"])
