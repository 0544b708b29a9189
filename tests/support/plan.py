"""Small sites, locks and observations to plan with; every value can be replaced by keyword."""

from dataclasses import replace

from edgeform.diagnostics import Diagnostic, Position, Source
from edgeform.domain.artifacts import Lock, LockedArtifact, Model, Variant, VersionRule
from edgeform.domain.desired import Desired
from edgeform.domain.drivers import DriverTuple
from edgeform.domain.hardware import Engine, HardwareClass, OperatingSystem, RuntimeChoice
from edgeform.domain.observed import (
    AcceleratorSeen,
    Facts,
    InstalledTool,
    Observed,
    PendingTransaction,
    PipelineHealth,
    Unobserved,
    Unreachability,
)
from edgeform.domain.pipeline import Infer, Pipeline
from edgeform.domain.site import Connect, Device, Site
from edgeform.domain.stages.action import StoreLocally
from edgeform.domain.stages.capture import ImageDirectory
from edgeform.domain.stages.postprocess import Classify
from edgeform.domain.stages.preprocess import Colour, Layout, Normalise, Resize
from edgeform.domain.stages.report import ReportLines
from edgeform.plan import (
    Base,
    Blocked,
    Busy,
    Changed,
    Context,
    Held,
    Plan,
    ShippedTool,
    Unchanged,
    Unreachable,
    make_plan,
    resolve,
)
from edgeform.plan import changes as c
from edgeform_wire.digest import of_bytes

NOW = "2026-03-01T10:00:00Z"
ROOT = of_bytes(b"root")


def digest(text: str) -> str:
    return of_bytes(text.encode())


def a_class(name="pi-5", **changed) -> HardwareClass:
    base = HardwareClass(
        name=name,
        lineage=(name, "arm64-linux"),
        arch="aarch64",
        os=OperatingSystem(id="debian", version="12"),
        accelerator="cpu",
        runtime=RuntimeChoice(engine=Engine.ONNXRUNTIME, provider="CPUExecutionProvider"),
        glibc="2.36",
        python="3.11",
    )
    return replace(base, **changed)


def a_pipeline(name="digits", model="digits", **changed) -> Pipeline:
    base = Pipeline(
        name=name,
        capture=ImageDirectory(path="/srv/frames"),
        preprocess=(
            Resize(width=32, height=32),
            Colour(to="grey"),
            Normalise(scale=1 / 255, mean=(0.5,), std=(0.5,)),
            Layout(),
        ),
        infer=Infer(model=model),
        postprocess=Classify(labels="labels.txt"),
        actions=(StoreLocally(),),
        report=(ReportLines(),),
    )
    return replace(base, **changed)


def a_device(name="cam-01", hardware=None, **changed) -> Device:
    base = Device(
        name=name,
        hardware=hardware or a_class(),
        connect=Connect(host=f"{name}.example.net", user="edge"),
        pipelines=(a_pipeline(),),
    )
    return replace(base, **changed)


def a_variant(name="cpu-f32", **changed) -> Variant:
    return replace(Variant(name=name, engine="onnxruntime", file=f"{name}.onnx"), **changed)


def a_model(name="digits", **changed) -> Model:
    base = Model(
        name=name,
        registry="files",
        source=name,
        rule=VersionRule.EXACT,
        wanted="1.0.0",
        variants=(a_variant(),),
    )
    return replace(base, **changed)


def a_model_artifact(
    name="digits", version="1.0.0", variant="cpu-f32", **changed
) -> LockedArtifact:
    base = LockedArtifact(
        digest=digest(f"model {name} {version} {variant}"),
        kind="model",
        name=name,
        version=version,
        variant=variant,
        epoch=1,
        size_bytes=1_250_000,
        engine="onnxruntime",
    )
    return replace(base, **changed)


def a_runtime_artifact(version="1.24.1", arch="aarch64", glibc="2.28", python="3.11", **changed):
    variant = f"{arch}-glibc{glibc}-py{python}"
    base = LockedArtifact(
        digest=digest(f"runtime {version} {variant}"),
        kind="runtime",
        name="onnxruntime",
        version=version,
        variant=variant,
        epoch=1,
        size_bytes=58_000_000,
        engine="onnxruntime",
        engine_version=version,
        requires=(("arch", arch), ("glibc", glibc), ("python", python)),
    )
    return replace(base, **changed)


def a_lock(*artifacts: LockedArtifact, versions=None) -> Lock:
    artifacts = artifacts or (a_model_artifact(), a_runtime_artifact())
    if versions is None:
        versions = tuple((a.name, a.version) for a in artifacts if a.kind == "model")
    return Lock(digest=digest("lock"), artifacts=artifacts, versions=versions)


def a_site(*devices: Device, models=None, **changed) -> Site:
    devices = devices or (a_device(),)
    base = Site(
        name="lab",
        digest=digest("spec"),
        devices=devices,
        classes=tuple(dict.fromkeys(d.hardware for d in devices)),
        models=models if models is not None else (a_model(),),
    )
    return replace(base, **changed)


def a_tool(version="0.1.0") -> ShippedTool:
    return ShippedTool(
        version=version,
        artifact=digest(f"tool artifact {version}"),
        file=digest(f"tool file {version}"),
        size_bytes=210_000,
    )


def some_facts(**changed) -> Facts:
    base = Facts(
        digest=digest("facts"),
        arch="aarch64",
        os_id="debian",
        os_version="12",
        kernel="6.6.31",
        python="3.11.2",
        glibc="2.36",
        machine="m-1",
        hostname="cam-01",
        boot_id="b-1",
        cpus=4,
        memory_bytes=4_000_000_000,
        disk_free_bytes=8_000_000_000,
        disk_total_bytes=32_000_000_000,
        has_systemd=True,
        is_root=True,
        clock="ntp",
        wall_time=NOW,
    )
    return replace(base, **changed)


def a_virgin(device="cam-01", **changed) -> Observed:
    """A device that answers and has nothing of ours."""
    return replace(Observed(device=device, facts=some_facts()), **changed)


def an_absentee(device="cam-01", reason=Unreachability.TIMEOUT) -> Unobserved:
    return Unobserved(
        device=device,
        reason=reason,
        detail=f"{device}.example.net did not answer within 10 s",
        hint="Is it switched on, and on the network?",
    )


def as_if_applied(device: Device, desired: Desired, tool: ShippedTool | None = None, **changed):
    """What the device would look like once its plan was applied: facts, generation and health."""
    drivers = device.hardware.drivers
    kind = device.hardware.accelerator
    runtime = next((a for a in desired.artifacts if a.kind == "runtime"), None)
    facts = some_facts(
        arch=device.hardware.arch,
        os_id=device.hardware.os.id,
        os_version=device.hardware.os.version or "12",
        python=f"{runtime.required('python') if runtime else '3.11'}.2",
        accelerators=()
        if kind == "cpu"
        else (AcceleratorSeen(kind=kind, bus_id="", driver="", node="", state="ready"),),
        **facts_after(drivers),
    )
    base = Observed(
        device=device.name,
        facts=facts,
        tool=InstalledTool(version=tool.version, digest=tool.file) if tool else None,
        current=1,
        committed=1,
        generation_digest=desired.generation_digest,
        manifest=desired.manifest,
        deployment=1,
        root_digest=ROOT,
        health=tuple(PipelineHealth(name=p.name, state="active") for p in device.pipelines),
    )
    return replace(base, **changed)


def facts_after(drivers: DriverTuple) -> dict:
    """The facts that a device has once the driver tuple is in place."""
    return {
        "packages": tuple((p.name, p.version or "1.0-1") for p in drivers.packages),
        "modules": tuple(m.replace("-", "_") for m in drivers.modules),
        "groups": drivers.groups,
        "sysctl": drivers.sysctl,
        "files": tuple((r.path, r.digest) for r in drivers.udev_rules)
        + tuple((r.stamp_path, r.stamp_digest) for r in drivers.vendor_roles),
    }


def a_context(site: Site, tool: ShippedTool | None = None, **changed) -> Context:
    base = Context(
        site=site.name, models={m.name: m for m in site.models}, tool=tool, roots=(ROOT,)
    )
    return replace(base, **changed)


def a_plan(site: Site, lock: Lock, observations, tool=None, **changed):
    """The plan for these observations, made as the commands make it."""
    return make_plan(
        site,
        lock,
        resolve(site, lock, tool),
        observations,
        context=a_context(site, tool, **changed),
        created_at=NOW,
        made_by="edgeform 0.1.0",
    )


def a_wide_plan():
    """A plan with a device in every situation and a change of every kind, for schema and golden file."""
    cost = {"reason": c.Reason.SPEC_CHANGED}
    before = c.Ref(version="1.0.0", variant="cpu-f32", digest=digest("before"))
    after = c.Ref(version="1.1.0", variant="cpu-f32", digest=digest("after"))
    base = Base(
        generation=41,
        digest=digest("gen 41"),
        deployment=7,
        facts_digest=digest("facts"),
        boot_id="b-1",
    )
    changes = (
        c.InstallTool(version="0.1.0", digest=digest("tool"), send_bytes=210_000, **cost),
        c.UpdateTool(before="0.1.0", version="0.2.0", digest=digest("tool"), **cost),
        c.Enrol(site="lab", **cost),
        c.InstallPackage(name="dkms", before=None, after=None, source="apt", hold=False, **cost),
        c.WriteUdevRule(
            name="51-hailo", path="/etc/udev/rules.d/51-hailo.rules", replaces=True, **cost
        ),
        c.LoadModule(name="hailo_pci", **cost),
        c.JoinGroup(name="hailo", **cost),
        c.SetSysctl(name="vm.swappiness", before="60", after="10", **cost),
        c.RunVendorRole(name="acme.camera", fidelity=c.Fidelity.OPAQUE, downtime_s=None, **cost),
        c.Reboot(reboot=True, undo=c.Undoing.NONE, downtime_s=None, **cost),
        c.PutSecret(name="mqtt", replaces=True, **cost),
        c.SwitchRuntime(
            name="onnxruntime", before=None, after=after, send_bytes=58_000_000, **cost
        ),
        c.InstallModel(name="faces", after=after, **cost),
        c.ReplaceModel(
            name="digits",
            before=before,
            after=after,
            downtime_s=2.0,
            figures=(
                c.Figure(name="accuracy", before=0.9694, after=0.9722),
                c.Figure(name="size_bytes", before=799_419.0, after=277_039.0),
                c.Figure(name="sqnr_db", before=None, after=35.3),
            ),
            **cost,
        ),
        c.AddPipeline(name="faces", model="faces 1.1.0 cpu-f32", engine="onnxruntime", **cost),
        c.ChangePipeline(
            name="digits",
            fields=(c.FieldChange(path="stages.infer.queue", before="2", after=None),),
            why="as asked",
            **cost,
        ),
        c.RemovePipeline(name="valves", **cost),
        c.RestoreDrift(
            kind="file", path="a", expected=digest("a"), actual="", reason=c.Reason.DRIFT
        ),
        c.KeepGenerations(before=3, after=2, **cost),
        c.Retire(kind="model", name="valves", before=before, **cost),
        c.DropSecret(name="old", **cost),
    )
    kind = {"hardware_class": "pi-5"}
    where = Source(
        position=Position(file="site.yaml", line=3, column=7), line_text="x: 1", length=1
    )
    problem = Diagnostic(code="EF2103", summary="no variant of the model fits", source=where)
    busy = PendingTransaction(id="t-7", phase="soak", to_generation=2, who="ci", until="10:05")
    return Plan(
        site="lab",
        spec_digest=digest("spec"),
        lock_digest=digest("lock"),
        tool_digest=digest("tool"),
        created_at=NOW,
        made_by="edgeform 0.1.0",
        selector="cam-*",
        devices=(
            Changed(
                device="cam-01",
                base=base,
                target=digest("gen 42"),
                changes=changes,
                reasons=(("digits", "cpu-f32: the only one that fits"),),
                **kind,
            ),
            Unchanged(device="cam-02", base=base, **kind),
            Unreachable(device="cam-03", reason="timeout", detail="no answer", hint="", **kind),
            Blocked(device="cam-04", base=None, problems=(problem,), **kind),
            Held(device="cam-05", base=base, digest=digest("bad"), detail="failed before", **kind),
            Busy(
                device="cam-06",
                base=replace(base, generation=0, digest=None),
                transaction=busy,
                **kind,
            ),
        ),
    )
