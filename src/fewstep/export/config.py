"""config.json of a TrigFlowUNet, and whether a contract fits the network it describes."""

from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import choice, real, refuse, sequence, whole
from fewstep.engine.reading.fields import Fields
from fewstep.export.families.trigflow_unet import GROUPS, TrigFlowUNetConfig

CONFIG, CONTRACT = "config.json", "contract.json"
CLASS = "TrigFlowUNet"
SCHEDULE, DEFAULT_SIGMA_DATA = "trigflow", 0.5


def read_config(document: object) -> TrigFlowUNetConfig:
    """document: the value of config.json. Raises InputError unless a network can be made of it."""
    fields = Fields(CONFIG, document)
    fields.take("_class_name", choice, (CLASS,))
    patch, heads = fields.take("patch", whole, 1, 64), fields.take("heads", whole, 1, 128)
    a, b, c = (whole(f"{CONFIG}: channels", n, GROUPS, 8192) for n in fields.take("channels", sequence, 3, 3))
    if a % GROUPS or b % GROUPS or c % GROUPS or c % heads:
        raise refuse(f"{CONFIG}: channels", f"multiples of {GROUPS}, the last one of heads = {heads} too", [a, b, c])
    config = TrigFlowUNetConfig(
        image_size=fields.take("image_size", whole, 1, 4096),
        channels=(a, b, c),
        labels=tuple(whole(f"{CONFIG}: labels", n, 1, 1 << 16) for n in fields.take("labels", sequence, 1, 64)),
        embedding=fields.take("embedding", whole, 1, 8192),
        patch=patch,
        heads=heads,
        sigma_data=fields.take("sigma_data", real, 1e-3, 1e3),
    )
    if config.image_size % (4 * patch):
        raise refuse(f"{CONFIG}: image_size", f"a multiple of 4 * patch = {4 * patch}", config.image_size)
    fields.done()
    return config


def check_contract(contract: Contract, config: TrigFlowUNetConfig) -> None:
    """Raises InputError where the contract promises what this network is not."""
    side = config.image_size
    found = [contract.image.channels, contract.image.height, contract.image.width]
    if found != [3, side, side]:
        raise refuse(f"{CONTRACT}: image", f"3 channels of {side} x {side}, as in {CONFIG}", found)
    rows = [(len(table.values), table.null) for table in contract.labels]
    if rows != [(n, n) for n in config.labels]:
        expected = f"(values, null) of {[(n, n) for n in config.labels]}, as in {CONFIG}"
        raise refuse(f"{CONTRACT}: labels", expected, rows)
    if contract.schedule.name != SCHEDULE:
        raise refuse(f"{CONTRACT}: schedule.name", f"{SCHEDULE}, as a {CLASS} needs", contract.schedule.name)
    for count, options in contract.schedule.steps.items():
        sigma_data = options.get("sigma_data", DEFAULT_SIGMA_DATA)
        if sigma_data != config.sigma_data:
            where = f"{CONTRACT}: schedule.steps.{count}.sigma_data"
            raise refuse(where, f"{config.sigma_data}, as in {CONFIG}", sigma_data)
