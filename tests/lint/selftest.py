#!/usr/bin/env python3
"""The lint checks find what they are for."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import docs_links  # noqa: E402
import include_direction  # noqa: E402
import sizes  # noqa: E402

failures = []


def expect(what, got, want):
    if bool(got) != want:
        failures.append(f"{what}: {got}")


def include(path, header, bad):
    expect(f"{path} -> {header}", include_direction.problems_in(path, f'#include {header}\n'), bad)


include("runtime/sys/fd.cc", '"runtime/base/status.h"', True)
include("runtime/base/json.cc", '"runtime/sys/fd.h"', False)
include("runtime/init/launch.cc", '"absl/status/status.h"', True)
include("runtime/keeper/pump.cc", '"runtime/base/log.h"', True)
include("runtime/keeper/pump.cc", '"runtime/keeper/client.h"', True)
include("runtime/keeper/client.cc", '"runtime/keeper/protocol.h"', False)
include("runtime/keeper/client.cc", '"runtime/base/status.h"', False)
include("imageservice/pull.cc", '"cni/pod_network.h"', True)
include("cni/chain.cc", '"runtime/sandbox/pod_sandbox.h"', True)
include("runtime/container/create.cc", '"imageservice/image_service.h"', True)
include("runtime/container/create.cc", '"runtime/keeper/protocol.h"', True)
include("runtime/container/create.cc", '"runtime/cgroup/cgroup.h"', False)
include("cri/service/run.cc", '"imageservice/image_service.h"', False)
include("cri/service/run.cc", "<grpcpp/grpcpp.h>", True)
include("cri/api/rpc_server.cc", "<grpcpp/grpcpp.h>", False)
include("cri/service/run.cc", '"run.h"', True)

body = lambda n: "int F(int a,\n      int b) {\n" + "  a++;\n" * n + "}\n"
expect("long function", sizes.problems_in("cri/x.cc", body(90)), True)
expect("short function", sizes.problems_in("cri/x.cc", body(60)), False)
expect("long file", sizes.problems_in("cri/x.cc", "int a;\n" * 701), True)
expect("namespace", sizes.problems_in("cri/x.cc", "namespace a {\n" + "int a;\n" * 300 + "}\n"), False)
expect("links", list(docs_links.names("[a](b.md) `runtime/sys/fd.h`")), True)

print("\n".join(failures) or "the lint checks find what they are for")
sys.exit(1 if failures else 0)
