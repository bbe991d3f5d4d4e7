#!/usr/bin/env python3
"""Includes go downwards only (docs/ARCHITECTURE.md). Usage: include_direction.py SOURCE"""
import pathlib
import re
import sys

# A rule: files below the first path may include project headers below the others, and themselves. First match counts.
RULES = [
    ("runtime/sys/", []),
    ("runtime/base/", ["runtime/sys/"]),
    ("runtime/init/", ["runtime/sys/"]),
    ("runtime/keeper/client", ["runtime/sys/", "runtime/base/", "runtime/init/"]),
    ("runtime/keeper/", ["runtime/sys/", "runtime/init/"]),
    ("runtime/pause/", []),
    ("runtime/cgroup/", ["runtime/sys/", "runtime/base/"]),
    ("runtime/seccomp/", ["runtime/sys/", "runtime/base/"]),
    ("runtime/security/", ["runtime/sys/", "runtime/base/"]),
    ("runtime/sandbox/", ["runtime/sys/", "runtime/base/"]),
    ("runtime/stats/", ["runtime/sys/", "runtime/base/", "runtime/cgroup/"]),
    ("runtime/container/", ["runtime/sys/", "runtime/base/", "runtime/cgroup/", "runtime/seccomp/", "runtime/security/",
                            "runtime/sandbox/", "runtime/keeper/client", "runtime/init/"]),
    ("runtime/oci/", ["runtime/sys/", "runtime/base/", "runtime/cgroup/", "runtime/seccomp/", "runtime/security/",
                      "runtime/sandbox/", "runtime/keeper/client", "runtime/container/"]),
    ("imageservice/", ["runtime/sys/", "runtime/base/"]),
    ("cni/", ["runtime/sys/", "runtime/base/"]),
    ("deploy/", ["runtime/sys/", "runtime/base/"]),
    ("cri/", ["runtime/", "imageservice/", "cni/"]),
]
BARE = ("runtime/sys/", "runtime/init/", "runtime/keeper/", "runtime/pause/")  # no Abseil, no gRPC; but the keeper's client is not bare
GRPC_ALLOWED = ("cri/api/", "cri/cli/")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
TOPS = ("cri/", "runtime/", "imageservice/", "cni/", "deploy/", "tests/")


def rule_of(path):
    for prefix, allowed in RULES:
        if path.startswith(prefix):
            return prefix, allowed
    return None, None


def own(path, prefix, header):
    if prefix == "runtime/keeper/" and header.startswith("runtime/keeper/client"):
        return False  # the keeper never sees the daemon's side
    if prefix == "runtime/keeper/client":
        return header.startswith("runtime/keeper/")
    return header.startswith(prefix)


def problems_in(path, text):
    prefix, allowed = rule_of(path)
    if prefix is None:
        return []
    found = []
    for kind, header in INCLUDE.findall(text):
        if header.startswith(TOPS) and not own(path, prefix, header) and not header.startswith(tuple(allowed)):
            found.append(f"{path}: may not include {header}")
        if kind == '"' and not header.startswith(TOPS) and "/" not in header and not header.endswith(".pb.h"):
            found.append(f'{path}: "{header}" is not named from the top of the tree')
        if header.startswith(("grpc/", "grpcpp/")) or header.endswith(".grpc.pb.h"):
            if not path.startswith(GRPC_ALLOWED):
                found.append(f"{path}: gRPC stays in {', '.join(GRPC_ALLOWED)}: {header}")
        if header.startswith("absl/") and prefix in BARE:
            found.append(f"{path}: bare code uses no Abseil: {header}")
    return found


def main(source):
    found = []
    root = pathlib.Path(source)
    for top in ("cri", "runtime", "imageservice", "cni", "deploy"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix in (".cc", ".h"):
                found += problems_in(str(file.relative_to(root)), file.read_text())
    print("\n".join(found) or "includes go downwards only")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
