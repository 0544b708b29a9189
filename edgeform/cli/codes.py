"""Every diagnostic code there is, from all parts, for `explain` and for docs/reference/codes.md."""

from edgeform.errors import UsageError
from edgeform.lock import codes as lock_codes
from edgeform.plan.explained import EXPLAINED
from edgeform.spec import codes_file, codes_site
from edgeform.spec.codes import Code
from edgeform.spec.shape import nearest

PLAN_CODES = (
    Code(
        code="EF2101",
        summary="model not locked",
        text=EXPLAINED["EF2101"],
        cause="The model is new in the site, and nobody has locked it yet.",
        example="edgeform lock --update MODEL",
    ),
    Code(
        code="EF2102",
        summary="model variant not built",
        text=EXPLAINED["EF2102"],
        cause="A variant was added to the model after it was locked, or could not be built here.",
        example="edgeform lock",
    ),
    Code(
        code="EF2103",
        summary="no variant of the model fits",
        text=EXPLAINED["EF2103"],
        cause="The class's engine is one that the model has no variant for.",
        example="runtime: {engine: onnxruntime}     # or a variant with engine: tensorrt",
    ),
    Code(
        code="EF2104",
        summary="runtime closure not built",
        text=EXPLAINED["EF2104"],
        cause="The site has a new kind of device, or the closure could not be made on this machine.",
        example="edgeform lock",
    ),
    Code(
        code="EF2105",
        summary="pipeline names an unknown model",
        text=EXPLAINED["EF2105"],
        cause="A typing error, or the model's file is not part of the site.",
        example="infer: {model: digits}     # metadata.name of a Model",
    ),
    Code(
        code="EF2106",
        summary="pipeline reads an unknown secret",
        text=EXPLAINED["EF2106"],
        cause="It stands in the pipeline, and not in the device's `secrets`.",
        example="secrets: {camera_password: {secret: env/CAMERA_PASSWORD}}",
    ),
    Code(
        code="EF2107",
        summary="secret cannot be resolved",
        text=EXPLAINED["EF2107"],
        cause="The environment variable is not set, or the secrets file has no such entry.",
        example="edgeform secret set NAME",
    ),
    Code(
        code="EF2108",
        summary="driver artifact not locked",
        text=EXPLAINED["EF2108"],
        cause="The class names the artifact since the lock was written.",
        example="edgeform lock",
    ),
    Code(
        code="EF2109",
        summary="driver artifact not named",
        text=EXPLAINED["EF2109"],
        cause="The device has a built-in class whose packages only the vendor hands out.",
        example="drivers: {artifact: 'sha256:...'}",
    ),
    Code(
        code="EF2111",
        summary="device is not what its class says",
        text=EXPLAINED["EF2111"],
        cause="The device has the wrong class, or its system was upgraded.",
        example="edgeform doctor -l DEVICE",
    ),
    Code(
        code="EF2112",
        summary="accelerator not ready",
        text=EXPLAINED["EF2112"],
        cause="No driver, no device node, or another slot.",
        example="edgeform doctor -l DEVICE",
    ),
    Code(
        code="EF2113",
        summary="not enough room",
        text=EXPLAINED["EF2113"],
        cause="Old generations, or files that are not edgeform's.",
        example="edgeform gc -l DEVICE",
    ),
    Code(
        code="EF2114",
        summary="no trusted clock",
        text=EXPLAINED["EF2114"],
        cause="No NTP and no RTC, or an RTC with an empty battery.",
        example="require_clock: false     # in the device, knowingly",
    ),
    Code(
        code="EF2115",
        summary="device trusts another root",
        text=EXPLAINED["EF2115"],
        cause="The development root was made anew, or the device belongs to another site.",
        example="edgeform trust show     # compare the root",
    ),
    Code(
        code="EF2116",
        summary="part of a class does not travel",
        text=EXPLAINED["EF2116"],
        cause="The device was never reached over SSH, or its class got another rule, group or module since.",
        example="edgeform publish plan.json --in-place DEVICE",
    ),
    Code(
        code="EF2120",
        summary="device needs hands",
        text=EXPLAINED["EF2120"],
        cause="Hardware, a full or failing disk, or a driver that changed underneath.",
        example="edgeform logs DEVICE",
    ),
    Code(
        code="EF2121",
        summary="device cannot be looked at",
        text=EXPLAINED["EF2121"],
        cause="A machine that nobody has prepared yet.",
        example="edgeform bootstrap -l DEVICE",
    ),
    Code(
        code="EF2122",
        summary="device's generation is unreadable",
        text=EXPLAINED["EF2122"],
        cause="Another version of edgeform wrote it.",
        example="edgeform version",
    ),
)


def every_code() -> tuple[Code, ...]:
    """All codes in order."""
    found = (*codes_file.ALL, *codes_site.ALL, *PLAN_CODES, *lock_codes.ALL)
    return tuple(sorted(found, key=lambda c: c.code))


def code_of(name: str) -> Code:
    """The code of this name.

    Raises:
        UsageError: no diagnostic has it.
    """
    known = {found.code: found for found in every_code()}
    found = known.get(name.upper())
    if found is None:
        raise UsageError(
            f"No diagnostic has the code {name!r}.",
            hint=nearest(name.upper(), known) or "Codes look like EF1001.",
        )
    return found
