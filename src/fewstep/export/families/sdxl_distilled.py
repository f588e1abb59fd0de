"""SDXL at 1024 pixels, distilled by others than ADD: SDXL-Turbo's networks, each under the sampler it was trained for.

Where a family has a checkpoint or LoRA a step count, as SDXL-Lightning has, its contract is that count's.
"""

from dataclasses import replace

from torch import Tensor, nn

from fewstep.export.families import sdxl_turbo
from fewstep.export.families.family import Contract, Family, Networks, Size

NATIVE = 128  # of the latent, as in the base model's unet/config.json
TIMES = range(1, 9)


class GuidedPrompt(sdxl_turbo.Prompt):
    """No text, which a negative prompt is unless one is given, is zeros: the base model's force_zeros_for_empty_prompt.

    A text without a word is the beginning's token and the end's up to the last.
    """

    def forward(self, ids: Tensor, ids_2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        text, pooled, numbers = super().forward(ids, ids_2)
        worded = (ids[:, 1] != ids[:, -1]).to(text.dtype)
        return text * worded[:, None, None], pooled * worded[:, None], numbers


def guided_prompt(networks: Networks, size: Size) -> nn.Module:
    return GuidedPrompt(networks["text_encoder"], networks["text_encoder_2"], size.image)


TRAINED = sdxl_turbo.FULL.networks["unet"]
FULL = sdxl_turbo.measure(
    {**sdxl_turbo.FULL.networks, "unet": replace(TRAINED, config={**TRAINED.config, "sample_size": NATIVE})}, None
)
PUBLISHED = replace(sdxl_turbo.PUBLISHED, is_whole=False)


def sdxl(name: str, contract: Contract, by_count: bool = False) -> Family:
    published = replace(PUBLISHED, by_count=by_count)
    return replace(sdxl_turbo.FAMILY, name=name, full=FULL, contract=contract, published=published)


# arXiv:2402.13929. The one-step UNet predicts x_0: the picture is its output.
LIGHTNING = sdxl(
    "sdxl-lightning", Contract("euler", 4, {N: {"timestep_spacing": "trailing"} for N in (2, 4, 8)}), by_count=True
)
LIGHTNING_1STEP = sdxl(
    "sdxl-lightning-1step", Contract("euler", 1, {1: {"timestep_spacing": "trailing", "prediction_type": "sample"}})
)
# arXiv:2404.13686: a LoRA a step count, one for all counts, and a UNet that starts at time 800.
HYPER = sdxl("hyper-sdxl", Contract("ddim", 4, {N: {"set_alpha_to_one": False} for N in (2, 4, 8)}), by_count=True)
# Two that keep guidance, of 5 to 8 as their authors say, by default as StableDiffusionXLPipeline has it.
GUIDED = (5.0, 8.0)
HYPER_CFG = replace(
    sdxl("hyper-sdxl-cfg", Contract("ddim", 8, {N: {"set_alpha_to_one": False} for N in (8, 12)}, 5.0, GUIDED), True),
    prompt=guided_prompt,
)
HYPER_UNIFIED = sdxl("hyper-sdxl-unified", Contract("tcd", 1, {N: {"eta": 1.0} for N in TIMES}))
HYPER_1STEP = sdxl("hyper-sdxl-1step", Contract("lcm", 1, {1: {"timesteps": (800,)}}))
# arXiv:2402.19159, at the gamma that its authors run it with; diffusers' pipelines take eta = 0 unless it is given.
TCD = sdxl("tcd-sdxl", Contract("tcd", 4, {N: {"eta": 0.3} for N in TIMES}))
# arXiv:2405.18407: TCD's scheduler without noise, a LoRA a step count.
PCM = sdxl("pcm-sdxl", Contract("tcd", 4, {N: {"eta": 0.0} for N in (2, 4, 8, 16)}), by_count=True)
# arXiv:2405.14867: one UNet for one step, from time 399, and one for four.
DMD2 = sdxl("dmd2-sdxl", Contract("dmd2", 4, {1: {}, 4: {}}), by_count=True)
# arXiv:2311.05556, without guidance: a scale above 1 would run the network twice a step.
LCM_LORA = sdxl("lcm-lora-sdxl", Contract("lcm", 4, {N: {} for N in TIMES}))

FAMILIES = (LIGHTNING, LIGHTNING_1STEP, HYPER, HYPER_CFG, HYPER_UNIFIED, HYPER_1STEP, TCD, PCM, DMD2, LCM_LORA)
