"""Why a device cannot be planned: the diagnostics of this package, one function per code.

The number is stable; the words may be improved. Every hint says what to run or what to write.
"""

from edgeform.diagnostics import Diagnostic

SHOWN_DEVICES = 4


def named(devices: tuple[str, ...]) -> str:
    """`cam-01`, `cam-01, cam-02`, or the first few and how many more."""
    shown = ", ".join(devices[:SHOWN_DEVICES])
    more = len(devices) - SHOWN_DEVICES
    return f"{shown} and {more} more" if more > 0 else shown


def model_not_locked(model: str) -> Diagnostic:
    return Diagnostic(
        code="EF2101",
        summary="model not locked",
        detail=f"edgeform.lock holds no version of model '{model}', so there is nothing to install.",
        address=f"models.{model}",
        hint=f"edgeform lock --update {model}",
    )


def variant_not_built(
    model: str, version: str, variants: tuple[str, ...], verb: str = "lock"
) -> Diagnostic:
    """`verb` is what makes them: `lock` for files of the version, `build` for recipes."""
    return Diagnostic(
        code="EF2102",
        summary="model variant not built",
        detail=(
            f"Model '{model}' {version} has variants that fit here ({', '.join(variants)}),"
            " but edgeform.lock names no artifact of them"
            + (" as the site asks for them now." if verb == "build" else ".")
        ),
        address=f"models.{model}",
        hint=f"edgeform {verb}",
    )


def no_variant_fits(
    model: str, accelerator: str, engine: str, arch: str, offered: tuple[str, ...]
) -> Diagnostic:
    offers = "; ".join(offered) if offered else "none"
    return Diagnostic(
        code="EF2103",
        summary="no variant of the model fits",
        detail=(
            f"Model '{model}' has no variant for accelerator '{accelerator}', engine '{engine}'"
            f" and architecture '{arch}'. It offers: {offers}."
        ),
        address=f"models.{model}",
        hint=f"Add a variant, or give the class another engine:\n    edgeform explain model {model}",
    )


def no_runtime(engine: str, wanted: str, offered: tuple[str, ...]) -> Diagnostic:
    offers = "; ".join(offered) if offered else "none"
    return Diagnostic(
        code="EF2104",
        summary="runtime closure not built",
        detail=f"edgeform.lock names no runtime for {wanted}. It has: {offers}.",
        address=f"runtimes.{engine}",
        hint="edgeform lock",
    )


def unknown_model(pipeline: str, model: str) -> Diagnostic:
    return Diagnostic(
        code="EF2105",
        summary="pipeline names an unknown model",
        detail=f"Pipeline '{pipeline}' infers with model '{model}', which the site does not have.",
        address=f"pipelines.{pipeline}",
        hint=f"Write a Model named {model}, or correct the name.",
    )


def unknown_secret(pipeline: str, secret: str) -> Diagnostic:
    return Diagnostic(
        code="EF2106",
        summary="pipeline reads an unknown secret",
        detail=f"Pipeline '{pipeline}' reads secret '{secret}', which its device does not declare.",
        address=f"pipelines.{pipeline}",
        hint=f"Declare it on the device or in the site's defaults: secrets: {{{secret}: {{secret: ...}}}}",
    )


def secret_missing(secret: str, reference: str) -> Diagnostic:
    return Diagnostic(
        code="EF2107",
        summary="secret cannot be resolved",
        detail=f"Secret '{secret}' is {reference}, and nothing is there.",
        address=f"secrets.{secret}",
        hint="Put a value there, or correct the reference; values are never written into the site.",
    )


def driver_not_locked(hardware: str, digest: str) -> Diagnostic:
    return Diagnostic(
        code="EF2108",
        summary="driver artifact not locked",
        detail=f"Class '{hardware}' names driver artifact {digest[:19]}, and edgeform.lock does not.",
        address=f"classes.{hardware}.drivers.artifact",
        hint="edgeform lock",
    )


def driver_not_named(device: str, hardware: str, packages: tuple[str, ...]) -> Diagnostic:
    return Diagnostic(
        code="EF2109",
        summary="driver artifact not named",
        detail=(
            f"{named(packages)}: to come out of a driver artifact (`source: artifact`);"
            f" class '{hardware}' names none, so there is nothing to install."
        ),
        address=f"devices.{device}",
        hint="Make one of the vendor's .deb files, name its digest as drivers.artifact in your own class, and"
        " lock:\n    edgeform store add-driver NAME VERSION FILES.deb --site SITE",
    )


def does_not_travel(device: str, hardware: str, names: tuple[str, ...]) -> Diagnostic:
    return Diagnostic(
        code="EF2116",
        summary="part of a class does not travel",
        detail=(
            f"{device} is in mode offline, and neither stick nor pull brings these parts of class"
            f" '{hardware}': {', '.join(names)}. It has not reported that they are there."
        ),
        address=f"devices.{device}",
        hint="Bring it over SSH once (connect: {host: ADDRESS}, plan, apply), or have it in the image.\n"
        f"If it is there already, say so:\n    --in-place {device}",
    )


def does_not_fit(what: str, device: str, *, wanted: str, found: str, hint: str) -> Diagnostic:
    return Diagnostic(
        code="EF2111",
        summary="device is not what its class says",
        detail=f"{what}: the spec says {wanted}, the device has {found}.",
        address=f"devices.{device}",
        hint=hint,
    )


def no_accelerator(device: str, kind: str, state: str) -> Diagnostic:
    return Diagnostic(
        code="EF2112",
        summary="accelerator not ready",
        detail=f"The class demands '{kind}'; the device says: {state}.",
        address=f"devices.{device}",
        hint="Check the hardware and its driver, or give the device another class.",
    )


def disk_full(device: str, need: str, free: str) -> Diagnostic:
    return Diagnostic(
        code="EF2113",
        summary="not enough room",
        detail=f"The change needs {need} of free disk, the device has {free}.",
        address=f"devices.{device}",
        hint=f"Collect old generations:\n    edgeform gc -l {device}",
    )


def no_clock(device: str) -> Diagnostic:
    return Diagnostic(
        code="EF2114",
        summary="no trusted clock",
        detail="The spec has require_clock: true, and the device does not know what time it is.",
        address=f"devices.{device}",
        hint="Give it NTP or a working RTC, or set require_clock: false for it.",
    )


def other_root(device: str, digest: str) -> Diagnostic:
    return Diagnostic(
        code="EF2115",
        summary="device trusts another root",
        detail=f"It was enrolled with root {digest}, which this site's chain does not contain.",
        address=f"devices.{device}",
        hint="A root is never replaced from afar. If the device is yours, remove its prefix by hand, then:\n"
        f"    edgeform enroll -l {device}",
    )


def needs_hands(device: str, why: str) -> Diagnostic:
    return Diagnostic(
        code="EF2120",
        summary="device needs hands",
        detail=f"It is healthy neither on its new nor on its old generation: {why}",
        address=f"devices.{device}",
        hint=f"Look at it before anything else is sent:\n    edgeform logs {device}\n"
        "When its old generation is healthy again, have the device prove it (N is its present one):\n"
        f"    edgeform rollback {device} --to N",
    )


def cannot_look(device: str, detail: str, hint: str) -> Diagnostic:
    return Diagnostic(
        code="EF2121",
        summary="device cannot be looked at",
        detail=detail,
        address=f"devices.{device}",
        hint=hint,
    )


def unreadable_manifest(device: str, detail: str) -> Diagnostic:
    return Diagnostic(
        code="EF2122",
        summary="device's generation is unreadable",
        detail=f"Its manifest does not follow this version's schema: {detail}",
        address=f"devices.{device}",
        hint="The device was written by another version of edgeform; use that version, or a newer one.",
    )
