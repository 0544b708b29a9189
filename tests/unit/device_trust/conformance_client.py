"""The command line that theupdateframework/tuf-conformance drives, around the device's client.

HTTP is only here: the device itself reads files. Runs on Python 3.8 with nothing installed.
"""

import argparse
import hashlib
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import quote

sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "runtime")
)

from edgeform_device import p256, tuf
from edgeform_device.clock import Clock
from edgeform_device.errors import Corrupt, DeviceError, NotTrusted
from edgeform_device.tuf_store import MetadataStore


def main():
    parser = argparse.ArgumentParser()
    for option in ("--metadata-url", "--metadata-dir", "--target-dir", "--target-base-url"):
        parser.add_argument(option)
    parser.add_argument("--target-name", action="append", default=[])
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("init").add_argument("root")
    verbs.add_parser("refresh")
    verbs.add_parser("download")
    options = parser.parse_args()
    if options.verb == "init":
        shutil.copyfile(options.root, os.path.join(options.metadata_dir, "root.json"))
        return
    now_s = int(time.time())
    clock = Clock(built_s=now_s, now_s=now_s, is_vouched=True)

    def fetch(name, limit):
        return get(options.metadata_url, name, limit)

    trusted = tuf.refresh_store(MetadataStore(options.metadata_dir), fetch, clock, p256.verify)
    for name in options.target_name if options.verb == "download" else ():
        download(trusted, name, options)


def download(trusted, name, options):
    target = trusted.target(name)
    if target is None:
        raise NotTrusted(f"{name} is not signed")
    destination = os.path.join(options.target_dir, quote(name, ""))
    if os.path.exists(destination):
        with open(destination, "rb") as stream:
            if hashlib.sha256(stream.read()).hexdigest() == target.sha256:
                return
    folder, slash, base = name.rpartition("/")
    prefix = target.sha256 + "." if trusted._set.root.is_consistent_snapshot else ""
    data = get(options.target_base_url, folder + slash + prefix + base, target.length)
    if (
        data is None
        or len(data) != target.length
        or hashlib.sha256(data).hexdigest() != target.sha256
    ):
        raise Corrupt(f"{name} is not what is signed")
    with open(destination, "wb") as stream:
        stream.write(data)


def get(base, name, limit):
    try:
        with urllib.request.urlopen(base.rstrip("/") + "/" + name, timeout=20) as answer:
            return answer.read(limit + 1)
    except urllib.error.HTTPError as exc:
        if exc.code in (403, 404):
            return None
        raise NotTrusted(f"HTTP {exc.code} for {name}") from exc


if __name__ == "__main__":
    try:
        main()
    except DeviceError as exc:
        sys.exit(f"refused: {exc.summary}\n{exc.detail}")
