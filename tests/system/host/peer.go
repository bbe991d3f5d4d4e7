package host

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/registry"
)

// peer names another runtime that the same tests are run against, to try the tests themselves: CRISP_PEER=containerd.
func peer() string { return os.Getenv("CRISP_PEER") }

// IsPeer tells tests of what only crisp promises to stand aside.
func IsPeer() bool { return peer() != "" }

// PeerConfig is a private containerd 1.6 (Debian's) with runc and the CNI plugins that stand under /usr/lib/cni.
func PeerConfig(folder, registryAddress string) string {
	return fmt.Sprintf(`version = 2
root = "%[1]s/root"
state = "%[1]s/state"
oom_score = 0
[grpc]
  address = "%[1]s/crisp.sock"
[debug]
  level = "warn"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s/crisp.test/pause:latest"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%[1]s/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "%[1]s/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`, folder, registryAddress)
}

// PeerNetwork is the same network as crisp's built-in one, by the CNI project's plugins.
func PeerNetwork(folder, bridge, subnet string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"peer","plugins":[
 {"type":"bridge","bridge":"%[2]s","isGateway":true,"ipMasq":true,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"%[3]s"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"%[1]s/ipam"}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
`, folder, bridge, subnet)
}

func (h *Host) peerCommand() []string {
	reg := registry.Shared(h)
	must(h, os.MkdirAll(h.Folder+"/net.d", 0o755))
	must(h, os.WriteFile(h.Folder+"/net.d/10-peer.conflist", []byte(PeerNetwork(h.Folder, "cni1", "10.86.0.0/16")), 0o644))
	must(h, os.WriteFile(h.Folder+"/peer.toml", []byte(PeerConfig(h.Folder, reg.Address)), 0o644))
	return []string{"containerd", "-c", h.Folder + "/peer.toml"}
}

// loadPeerImages pulls what crisp has built in.
func (h *Host) loadPeerImages() string {
	reg := registry.Shared(h)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ref := reg.Address + "/" + strings.TrimPrefix(Builtin, "crisp.local/")
	if _, err := h.RawImg.PullImage(ctx, &v1.PullImageRequest{Image: &v1.ImageSpec{Image: ref}}); err != nil {
		h.Fatalf("PullImage %s: %v", ref, err)
	}
	return ref
}
