"""What a plan says of the model it was compiled from."""

from dataclasses import dataclass

from fewstep.engine.bundle_manifest import Contract
from fewstep.engine.checks import identifier, real, text
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.contract_reader import take_contract
from fewstep.engine.reading.fields import Fields, json_object
from fewstep.errors import InputError, PlanError

MAX_MODEL = 1 << 20


@dataclass(frozen=True, kw_only=True)
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


def check_certificate(certificate: str, max_error: float, where: str) -> None:
    """Raises PlanError unless a plan's certificate says that no latent is further off than max_error."""
    bound = real("max_error", max_error, 0.0, above=True)
    if not certificate:
        raise PlanError(f"{where} has no certificate; `fewstep verify` measures it and writes one")
    try:
        fields = Fields(f"{where}: certificate", strict_json.loads(certificate.encode(), where, MAX_MODEL))
        backends = fields.take("errors", json_object).values()
        worst = max(
            real("max", error["max"], 0.0) for counts in backends for error in json_object("errors", counts).values()
        )
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise PlanError(f"{where}: its certificate is not legal; verify it anew") from error
    if worst > bound:
        raise PlanError(f"{where}: expected errors of at most {bound:g}, its certificate says {worst:.2e}")


def _as_it_is(where: str, value: object) -> object:
    return value
