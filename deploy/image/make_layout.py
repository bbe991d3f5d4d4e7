#!/usr/bin/env python3
"""Makes the built-in image: an OCI layout with Debian's static busybox.

usage: make_layout.py BUSYBOX DIRECTORY

The same busybox gives the same bytes: times are fixed, entries sorted, gzip without a name or time.
Source: OCI image-spec 1.1 (image-layout.md, manifest.md, config.md).
"""
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile

TIME = 1700000000
CREATED = "2023-11-14T22:13:20Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
DIRECTORIES = {  # path: mode
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o555, "root": 0o700,
    "sbin": 0o755, "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755,
    "var": 0o755, "var/log": 0o755, "var/run": 0o755, "var/spool": 0o755, "var/tmp": 0o1777,
}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                  "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
                  "www-data:x:33:33:www-data:/var/www:/bin/false\n"
                  "nobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def entry(name, kind, mode):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.mtime = TIME
    return info


def applets(busybox):
    """Paths that busybox answers to, e.g. "bin/ls"; the first of a name wins."""
    listed = subprocess.run([busybox, "--list-full"], check=True, stdout=subprocess.PIPE, text=True)
    paths = {}
    for line in sorted(listed.stdout.split()):
        folder = os.path.dirname(line) or "bin"
        name = os.path.basename(line)
        if name not in ("busybox", "linuxrc") and folder in DIRECTORIES:
            paths[folder + "/" + name] = None
    return list(paths)


def make_layer(busybox):
    """The root file system as a tar."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, mode in sorted(DIRECTORIES.items()):
            tar.addfile(entry(path, tarfile.DIRTYPE, mode))
        with open(busybox, "rb") as file:
            program = file.read()
        info = entry("bin/busybox", tarfile.REGTYPE, 0o755)
        info.size = len(program)
        tar.addfile(info, io.BytesIO(program))
        for path in applets(busybox):
            info = entry(path, tarfile.SYMTYPE, 0o777)
            info.linkname = "/bin/busybox"
            tar.addfile(info)
        for path, text in sorted(FILES.items()):
            info = entry(path, tarfile.REGTYPE, 0o644)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layout:
    """Writes blobs and the two fixed files of a layout."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(os.path.join(directory, "blobs", "sha256"))

    def write(self, path, data):
        with open(os.path.join(self.directory, path), "wb") as file:
            file.write(data)

    def add(self, media_type, data):
        name = digest(data)
        self.write(os.path.join("blobs", "sha256", name.split(":")[1]), data)
        return {"mediaType": media_type, "digest": name, "size": len(data)}


def make_layout(busybox, directory):
    layout = Layout(directory)
    architecture = ARCHITECTURES[platform.machine()]
    tar = make_layer(busybox)
    layer = layout.add("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(tar, 9, mtime=0))
    config = layout.add("application/vnd.oci.image.config.v1+json", as_json({
        "architecture": architecture, "os": "linux", "created": CREATED,
        "config": {"Cmd": ["sh"],
                   "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                   "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        "history": [{"created": CREATED, "created_by": "crisp deploy/image/make_layout.py"}],
    }))
    manifest = layout.add("application/vnd.oci.image.manifest.v1+json", as_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    }))
    manifest["platform"] = {"os": "linux", "architecture": architecture}
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "crisp.local/busybox:latest"}
    layout.write("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))
    layout.write("index.json", as_json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    }))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    busybox, directory = sys.argv[1:]
    temporary = directory + ".new"
    shutil.rmtree(temporary, ignore_errors=True)
    make_layout(busybox, temporary)
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(temporary, directory)


if __name__ == "__main__":
    main()
