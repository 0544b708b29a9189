"""What this machine is: read from /proc, /sys, /etc and /dev, changing nothing, running almost nothing.

This one file is the whole probe. It is imported by the device tool, and it is piped into `python3 -` on
a machine that has no tool. So it imports nothing of ours, and any Python 3 must be able to *parse* it (no
f-strings, no variable annotations): an old one then answers with a sentence instead of a syntax error.
"""

import json
import os
import sys
import time

TYPE_CHECKING = False  # not typing's: importing that costs more than the whole probe
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

OLDEST_PYTHON = (3, 8)
RUNTIME_USER = "edgeform"
QUESTIONS = ("packages", "modules", "files", "sysctl", "groups")
MAX_QUESTIONS = 2000
MAX_NAME = 512
MAX_FILE_BYTES = 64 * 1024 * 1024
UNREADABLE = "unreadable"
IDENTIFY_S = 3.0

# Vendor and device ids, with the kind they mean; class codes and drivers decide for the rest.
PCI_KINDS = {
    ("1ac1", "089a"): ("coral-pcie",),
    # Hailo-8 and 8L share their id: only the firmware can say which (see _identified).
    ("1e60", "2864"): ("hailo-8", "hailo-8l"),
    ("1e60", "45c4"): ("hailo-10h",),
    ("1d0f", "7064"): ("inferentia1",),
    ("1d0f", "7264"): ("inferentia2",),
}
# A Coral stick shows the first id until its firmware is loaded, then enumerates again as the second.
CORAL_USB = (("1a6e", "089a"), ("18d1", "9302"))
# Where a bound driver lists the device node of a PCI device, below the device's own directory.
NODE_CLASSES = (
    ("apex", "apex_", "/dev/"),
    ("hailo_chardev", "hailo", "/dev/"),
    ("neuron_device", "neuron", "/dev/"),
    ("accel", "accel", "/dev/accel/"),
    ("drm", "renderD", "/dev/dri/"),
)
JETSON_NODES = ("/dev/nvhost-gpu", "/dev/nvgpu/igpu0/ctrl", "/dev/nvhost-ctrl-gpu")


class Root:
    """The file system to look at: `/`, or a tree that was recorded from another machine."""

    def __init__(self, path: "str") -> None:
        self.path = path.rstrip("/")

    @property
    def is_live(self) -> "bool":
        return not self.path

    def at(self, path: "str") -> "str":
        return self.path + path

    def read(self, path: "str", limit: "int" = 1024 * 1024) -> "Optional[bytes]":
        """At most `limit` bytes of a file; None where it is absent or cannot be read."""
        try:
            with open(self.at(path), "rb") as stream:
                return stream.read(limit)
        except (OSError, ValueError):
            return None

    def text(self, path: "str") -> "str":
        """A small file as text, without the blanks and NULs around it; empty where there is none."""
        return (self.read(path) or b"").decode("utf-8", "replace").strip("\0\n\t ")

    def exists(self, path: "str") -> "bool":
        return os.path.lexists(self.at(path))

    def names(self, path: "str") -> "List[str]":
        try:
            return sorted(os.listdir(self.at(path)))
        except (OSError, ValueError):
            return []

    def link_name(self, path: "str") -> "str":
        """The last segment of what a link says: the driver's name, for a `driver` link."""
        try:
            return os.path.basename(os.readlink(self.at(path)))
        except (OSError, ValueError):
            return ""


def probe(
    questions: "Dict[str, List[str]]", root: "str" = "/", prefix: "str" = "/var/lib/edgeform"
) -> "Dict[str, Any]":
    """The facts of this machine, and the answers to the questions, as JSON values.

    Args:
        questions: names of packages, modules, files, sysctl keys and groups; others are not looked for.
        root: where /proc, /sys, /etc, /run, /dev and /var are.
        prefix: where edgeform is or would be; its file system's space is reported.
    """
    tree = Root(root)
    found = _machine(tree)
    found.update(_space(prefix))
    found["accelerators"] = accelerators(tree)
    found["packages"] = packages(tree, questions.get("packages", []))
    found["modules"] = modules(tree, questions.get("modules", []), found["kernel"])
    found["groups"] = groups(tree, questions.get("groups", []))
    found["sysctl"] = sysctl(tree, questions.get("sysctl", []))
    found["files"] = files(tree, questions.get("files", []))
    return found


def checked_questions(value: "Any") -> "Dict[str, List[str]]":
    """The questions of a received JSON value.

    Raises:
        ValueError: not an object of lists of short texts.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("questions are not an object")  # noqa: TRY004 - bad input, one error
    for key, names in value.items():
        if key not in QUESTIONS:
            raise ValueError("unknown question " + repr(key)[:60])
        if not isinstance(names, list) or len(names) > MAX_QUESTIONS:
            raise ValueError(key + " is not a list of at most " + repr(MAX_QUESTIONS) + " names")
        for name in names:
            if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
                raise ValueError(key + ": " + repr(name)[:60] + " is not a name")
    return value


def _machine(root: "Root") -> "Dict[str, Any]":
    uname = os.uname()
    release = _os_release(root)
    return {
        "arch": root.text("/proc/sys/kernel/arch") or _arch(uname.machine),
        "os_id": release.get("ID", "unknown"),
        "os_version": release.get("VERSION_ID", ""),
        "kernel": root.text("/proc/sys/kernel/osrelease") or uname.release,
        "python": ".".join(str(n) for n in sys.version_info[:3]),
        "glibc": _glibc(),
        "machine": _model(root),
        "hostname": root.text("/proc/sys/kernel/hostname") or uname.nodename,
        "boot_id": root.text("/proc/sys/kernel/random/boot_id"),
        "cpus": _cpus(root),
        "memory_bytes": _memory(root),
        "has_systemd": root.exists("/run/systemd/system"),
        "is_root": os.geteuid() == 0,
        "clock": clock(root),
        "wall_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _arch(machine: "str") -> "str":
    # A 32-bit user space on a 64-bit kernel needs 32-bit artifacts.
    if sys.maxsize <= 2**32:
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)
    return machine


def _os_release(root: "Root") -> "Dict[str, str]":
    content = root.text("/etc/os-release") or root.text("/usr/lib/os-release")
    found = {}
    for line in content.splitlines():
        key, _, value = line.partition("=")
        found[key.strip()] = value.strip().strip("\"'")
    return found


def _glibc() -> "str":
    """The C library's version ("2.36"); empty where it is another library, such as musl."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return ""
    return version if name == "glibc" else ""


def _model(root: "Root") -> "str":
    for path in ("/proc/device-tree/model", "/sys/firmware/devicetree/base/model"):
        model = root.text(path)
        if model:
            return model
    vendor = root.text("/sys/class/dmi/id/sys_vendor")
    product = root.text("/sys/class/dmi/id/product_name")
    return product if product.startswith(vendor) else (vendor + " " + product).strip()


def _compatible(root: "Root") -> "List[str]":
    for path in ("/proc/device-tree/compatible", "/sys/firmware/devicetree/base/compatible"):
        content = root.read(path)
        if content:
            return [part for part in content.decode("utf-8", "replace").split("\0") if part]
    return []


def _cpus(root: "Root") -> "int":
    count = 0
    for part in root.text("/sys/devices/system/cpu/online").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last.isdigit() or not last):
            count += int(last or first) - int(first) + 1
    return count or os.cpu_count() or 1


def _memory(root: "Root") -> "int":
    for line in root.text("/proc/meminfo").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "MemTotal:" and words[1].isdigit():
            return int(words[1]) * 1024
    return 0


def _space(prefix: "str") -> "Dict[str, int]":
    where = os.path.abspath(prefix)
    while not os.path.isdir(where) and where != "/":
        where = os.path.dirname(where)
    try:
        space = os.statvfs(where)
    except OSError:
        return {"disk_free_bytes": 0, "disk_total_bytes": 0}
    return {
        "disk_free_bytes": space.f_bavail * space.f_frsize,
        "disk_total_bytes": space.f_blocks * space.f_frsize,
    }


def clock(root: "Root") -> "str":
    """Why the time may be believed: `ntp`, `rtc` (a hardware clock agrees), or `unknown`."""
    if root.exists("/run/systemd/timesync/synchronized"):
        return "ntp"
    if root.is_live and _kernel_is_synchronised():
        return "ntp"
    now = time.time()
    for name in root.names("/sys/class/rtc"):
        epoch = root.text("/sys/class/rtc/" + name + "/since_epoch")
        if epoch.isdigit() and abs(int(epoch) - now) <= 60:
            return "rtc"
    return "unknown"


def _kernel_is_synchronised() -> "bool":
    try:
        import ctypes  # noqa: PLC0415 - only where timesyncd does not answer

        adjtimex = ctypes.CDLL(None).adjtimex
    except (ImportError, OSError, AttributeError):
        return False
    timex = (ctypes.c_long * 64)()  # larger than any struct timex; `modes` 0 only reads
    state = adjtimex(ctypes.byref(timex))
    # 5 is TIME_ERROR; word 5 holds the int `status`, whose bit 0x40 is STA_UNSYNC (<linux/timex.h>).
    return 0 <= state != 5 and not int(timex[5]) & 0x40


def accelerators(root: "Root") -> "List[Dict[str, str]]":
    """Every accelerator, also one that no driver serves: `ready`, `no-driver` or `no-node`.

    A part whose id stands for two kinds is listed once per kind, at one bus id.
    """
    found = [_accelerator("cpu", "", "", "", "ready")]
    found += _platform_accelerators(root)
    for name in root.names("/sys/bus/pci/devices"):
        found += _pci_accelerators(root, name)
    for name in root.names("/sys/bus/usb/devices"):
        found += _usb_accelerators(root, name)
    return found


def _platform_accelerators(root: "Root") -> "List[Dict[str, str]]":
    compatible = _compatible(root)
    if any(part.startswith("nvidia,tegra") for part in compatible):
        driver = ""
        for path in _jetson_gpus(root):
            driver = driver or root.link_name(path + "/driver")
        node = next((path for path in JETSON_NODES if root.exists(path)), "")
        return [_accelerator("nvidia-jetson", "platform", driver, node)]
    if "fsl,imx8mp" in compatible:
        driver = "galcore" if root.exists("/sys/bus/platform/drivers/galcore") else ""
        node = "/dev/galcore" if root.exists("/dev/galcore") else ""
        return [_accelerator("vsi-npu", "platform", driver, node)]
    return []


def _jetson_gpus(root: "Root") -> "List[str]":
    platform = "/sys/bus/platform/devices/"
    devfreq = "/sys/class/devfreq/"
    return (
        ["/sys/devices/gpu.0"]
        + [platform + name for name in root.names(platform) if name.endswith(".gpu")]
        + [devfreq + name + "/device" for name in root.names(devfreq) if "gpu" in name]
    )


def _pci_accelerators(root: "Root", name: "str") -> "List[Dict[str, str]]":
    path = "/sys/bus/pci/devices/" + name
    vendor = root.text(path + "/vendor")[2:]
    device = root.text(path + "/device")[2:]
    pci_class = root.text(path + "/class")
    driver = root.link_name(path + "/driver")
    kinds = PCI_KINDS.get((vendor, device), ())  # type: Tuple[str, ...]
    if vendor == "8086" and pci_class.startswith("0x03"):
        kinds = ("intel-gpu",)
    # Class 12 is "processing accelerator"; the ids grow with every generation, the driver does not.
    if vendor == "8086" and (pci_class.startswith("0x12") or driver == "intel_vpu"):
        kinds = ("intel-npu",)
    if not kinds:
        return []
    node = _node_of(root, path)
    if len(kinds) > 1 and node and root.is_live:
        kinds = _identified(kinds)
    return [_accelerator(kind, name, driver, node) for kind in kinds]


def _node_of(root: "Root", path: "str") -> "str":
    """The device node that the driver made for a PCI device, if udev made it appear."""
    for directory, start, below in NODE_CLASSES:
        for name in root.names(path + "/" + directory):
            if name.startswith(start) and root.exists(below + name):
                return below + name
    return ""


def _identified(kinds: "Tuple[str, ...]") -> "Tuple[str, ...]":
    """The one kind that the firmware names; all of them where the vendor's tool cannot be asked."""
    import subprocess  # noqa: PLC0415 - only on such a device

    try:
        answer = subprocess.check_output(
            ("hailortcli", "fw-control", "identify"),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=IDENTIFY_S,
        ).decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):
        return kinds
    for line in answer.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "Device Architecture":
            named = value.strip().upper().replace("HAILO", "hailo-").replace("8L", "8l")
            return (named,) if named in kinds else kinds
    return kinds


def _usb_accelerators(root: "Root", name: "str") -> "List[Dict[str, str]]":
    path = "/sys/bus/usb/devices/" + name
    ids = (root.text(path + "/idVendor"), root.text(path + "/idProduct"))
    if ids not in CORAL_USB:
        return []
    bus, number = root.text(path + "/busnum"), root.text(path + "/devnum")
    node = "/dev/bus/usb/" + bus.zfill(3) + "/" + number.zfill(3)
    # Its driver is a library (libedgetpu) in user space: whoever may open the node may use it.
    driver = root.link_name(path + "/driver") or "usb"
    return [_accelerator("coral-usb", name, driver, node if root.exists(node) else "")]


def _accelerator(
    kind: "str", bus_id: "str", driver: "str", node: "str", state: "str" = ""
) -> "Dict[str, str]":
    if not state:
        state = "no-driver" if not driver else "ready" if node else "no-node"
    return {"kind": kind, "bus_id": bus_id, "driver": driver, "node": node, "state": state}


def packages(root: "Root", names: "List[str]") -> "Dict[str, str]":
    """The installed version of each asked Debian package; what is not installed is left out.

    Reads dpkg's database itself: 3 ms where starting dpkg-query takes 30 (this file's test machine).
    """
    if not names:
        return {}
    content = root.read("/var/lib/dpkg/status", MAX_FILE_BYTES) or b""
    content = b"\n" + content
    found = {}
    for name in names:
        mark = b"\nPackage: " + name.encode("utf-8", "replace") + b"\n"
        start = content.find(mark)
        while start >= 0:
            end = content.find(b"\n\n", start + 1)
            record = content[start : end if end >= 0 else len(content)] + b"\n"
            version = _field(record, b"\nVersion: ")
            if _field(record, b"\nStatus: ").endswith(" installed") and version:
                found[name] = version
            start = content.find(mark, start + len(mark))
    return found


def _field(record: "bytes", mark: "bytes") -> "str":
    start = record.find(mark)
    if start < 0:
        return ""
    start += len(mark)
    return record[start : record.find(b"\n", start)].decode("utf-8", "replace").strip()


def modules(root: "Root", names: "List[str]", kernel: "str") -> "List[str]":
    """Those of the asked kernel modules that are there, loaded or built in."""
    if not names:
        return []
    loaded = {line.split(" ", 1)[0] for line in root.text("/proc/modules").splitlines()}
    builtin = root.read("/lib/modules/" + kernel + "/modules.builtin", MAX_FILE_BYTES) or b""
    for line in builtin.decode("utf-8", "replace").splitlines():
        loaded.add(os.path.basename(line.strip()).partition(".ko")[0].replace("-", "_"))
    return [
        name
        for name in names
        if name.replace("-", "_") in loaded
        or ("/" not in name and root.exists("/sys/module/" + name.replace("-", "_")))
    ]


def groups(root: "Root", names: "List[str]") -> "List[str]":
    """Those of the asked groups that the runtime's user has joined."""
    known = set()
    for line in root.text("/etc/group").splitlines():
        fields = line.split(":")
        if len(fields) == 4 and RUNTIME_USER in fields[3].split(","):
            known.add(fields[0])
    return [name for name in names if name in known]


def sysctl(root: "Root", names: "List[str]") -> "Dict[str, str]":
    """The value of each asked key; unknown keys are left out."""
    found = {}
    for name in names:
        # sysctl(8): dots separate, and a slash stands for a dot within a name (eth0/1).
        segments = [part.replace("/", ".") for part in name.split(".")]
        if "" in segments or ".." in segments:
            continue
        content = root.read("/proc/sys/" + "/".join(segments))
        if content is not None:
            found[name] = " ".join(content.decode("utf-8", "replace").split())
    return found


def files(root: "Root", names: "List[str]") -> "Dict[str, str]":
    """The digest of each asked file: empty where there is none, `unreadable` where it is no plain file."""
    return {name: _file_digest(root.at(name)) for name in names if name.startswith("/")}


def _file_digest(path: "str") -> "str":
    import hashlib  # noqa: PLC0415 - only when files are asked for
    import stat  # noqa: PLC0415

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError):
        return UNREADABLE
    hasher = hashlib.sha256()
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            return UNREADABLE
        for part in iter(lambda: os.read(descriptor, 1024 * 1024), b""):
            hasher.update(part)
    except OSError:
        return UNREADABLE
    finally:
        os.close(descriptor)
    return "sha256:" + hasher.hexdigest()


def main(argv: "List[str]") -> "int":
    """Print the facts as one JSON object; the exit code is 0, or 3 on a Python that is too old."""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(str(n) for n in OLDEST_PYTHON)
        running = ".".join(str(n) for n in sys.version_info[:3])
        return _refuse(
            "python",
            "Python " + running + " is too old.",
            "The device tool and the runtime need Python " + oldest + " or newer.",
            "Install a newer python3 on the device, or an operating system that brings one.",
            3,
        )
    options = {"--root": "/", "--prefix": "/var/lib/edgeform", "--questions": "{}"}
    while argv:
        if argv[0] not in options or len(argv) < 2:
            return _refuse("usage", "unknown option " + repr(argv[0])[:60], "", "", 64)
        options[argv[0]] = argv[1]
        argv = argv[2:]
    try:
        questions = checked_questions(json.loads(options["--questions"] or "{}"))
    except ValueError as exc:
        return _refuse("usage", "The questions cannot be read.", str(exc)[:200], "", 64)
    facts = probe(questions, options["--root"], options["--prefix"])
    print(json.dumps({"ok": True, "facts": facts}, sort_keys=True))
    return 0


def _refuse(code: "str", summary: "str", detail: "str", hint: "str", exit_code: "int") -> "int":
    error = {"code": code, "summary": summary, "detail": detail, "hint": hint}
    print(json.dumps({"ok": False, "error": error}, sort_keys=True))
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
