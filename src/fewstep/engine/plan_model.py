"""What a plan says of the model it was compiled from."""

from dataclasses import dataclass

from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import identifier, text
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.contract_reader import take_contract
from fewstep.engine.reading.fields import Fields
from fewstep.errors import InputError, PlanError

MAX_MODEL = 1 << 20


@dataclass(frozen=True)
class PlanModel(Contract):
    """bundle: the digest of the bundle it was compiled from."""

    family: str
    bundle: str


def read_model(document: str, where: str) -> PlanModel:
    """The model of a generation's plan. Raises PlanError naming the field; a plan that is one network has none."""
    try:
        fields = Fields(f"{where}: model", strict_json.loads(document.encode(), where, MAX_MODEL))
        if "manifest" not in fields.keys():  # noqa: SIM118  Fields is no mapping
            raise InputError(f"{where} is the plan of one network; run it with fewstep._runtime.Program")
        contract = Fields(f"{where}: manifest", fields.take("manifest", _as_it_is))
        fields.take("name", identifier)
        model = PlanModel(
            **vars(take_contract(contract)),
            family=fields.take("family", identifier),
            bundle=fields.take("bundle", text),
        )
        contract.done()
        fields.done()
    except InputError as error:
        raise PlanError(str(error)) from error
    return model


def _as_it_is(where: str, value: object) -> object:
    return value
