"""Every diagnostic code there is, from all parts, for `explain` and for docs/reference/codes.md."""

from edgeform.errors import UsageError
from edgeform.lock import codes as lock_codes
from edgeform.spec import codes_file, codes_site
from edgeform.spec.codes import Code
from edgeform.spec.shape import nearest

PLAN_CODES = (
    Code(
        code="EF2101",
        summary="model not locked",
        text="A pipeline uses a model of which `edgeform.lock` holds no version.",
        cause="The model is new in the site, and nobody has locked it yet.",
        example="edgeform lock --update MODEL",
    ),
    Code(
        code="EF2102",
        summary="model variant not built",
        text="The lock knows the version, but none of its variants that would fit the device.",
        cause="A variant was added to the model after it was locked, or could not be built here.",
        example="edgeform lock",
    ),
    Code(
        code="EF2103",
        summary="no variant of the model fits",
        text="Every variant of the model is for another engine, accelerator or architecture.",
        cause="The class's engine is one that the model has no variant for.",
        example="runtime: {engine: onnxruntime}     # or a variant with engine: tensorrt",
    ),
    Code(
        code="EF2104",
        summary="runtime closure not built",
        text="The lock holds no closure of the engine for this architecture, glibc and Python.",
        cause="The site has a new kind of device, or the closure could not be made on this machine.",
        example="edgeform lock",
    ),
    Code(
        code="EF2105",
        summary="pipeline names an unknown model",
        text="`infer.model` names a model that the site does not have.",
        cause="A typing error, or the model's file is not part of the site.",
        example="infer: {model: digits}     # metadata.name of a Model",
    ),
    Code(
        code="EF2106",
        summary="pipeline reads an unknown secret",
        text="A pipeline asks for a secret that the device does not have.",
        cause="It stands in the pipeline, and not in the device's `secrets`.",
        example="secrets: {camera_password: {secret: env/CAMERA_PASSWORD}}",
    ),
    Code(
        code="EF2107",
        summary="secret cannot be resolved",
        text="The reference is well-formed and nothing is behind it here, so nobody can say whether the"
        " device has the right value.",
        cause="The environment variable is not set, or the secrets file has no such entry.",
        example="edgeform secret set NAME",
    ),
    Code(
        code="EF2111",
        summary="device is not what its class says",
        text="The probe saw another architecture, glibc, Python, kernel or machine than the class promises.",
        cause="The device has the wrong class, or its system was upgraded.",
        example="edgeform doctor -l DEVICE",
    ),
    Code(
        code="EF2112",
        summary="accelerator not ready",
        text="The class demands an accelerator that the device does not have, or whose driver is not bound.",
        cause="No driver, no device node, or another slot.",
        example="edgeform doctor -l DEVICE",
    ),
    Code(
        code="EF2113",
        summary="not enough room",
        text="A change needs 1.2 times what it brings, and what it takes to return.",
        cause="Old generations, or files that are not edgeform's.",
        example="edgeform gc -l DEVICE",
    ),
    Code(
        code="EF2114",
        summary="no trusted clock",
        text="The site says `require_clock: true` and the device does not know the time, so it could not"
        " tell fresh metadata from old.",
        cause="No NTP and no RTC, or an RTC with an empty battery.",
        example="require_clock: false     # in the device, knowingly",
    ),
    Code(
        code="EF2115",
        summary="device trusts another root",
        text="The device was enrolled with a root that is not in this site's chain. It would refuse all"
        " that we send.",
        cause="The development root was made anew, or the device belongs to another site.",
        example="edgeform trust show     # compare the root",
    ),
    Code(
        code="EF2120",
        summary="device needs hands",
        text="It is healthy neither on its new nor on its old generation and has stopped trying.",
        cause="Hardware, a full or failing disk, or a driver that changed underneath.",
        example="edgeform logs DEVICE",
    ),
    Code(
        code="EF2121",
        summary="device cannot be looked at",
        text="It answers, but not well enough to be planned: no Python, or sudo refuses.",
        cause="A machine that nobody has prepared yet.",
        example="edgeform bootstrap -l DEVICE",
    ),
    Code(
        code="EF2122",
        summary="device's generation is unreadable",
        text="The manifest that the device has confirmed does not follow the schema that this side speaks.",
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
