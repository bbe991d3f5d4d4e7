package security

import (
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2020-10749: in a pod without IPv6 nobody can talk it into a router or an address.
func TestS61NoRouterAdvertisements(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	out := h.ExecOut(id, "cd /proc/sys/net/ipv6/conf; for i in all default eth0; do test ! -e $i || cat $i/accept_ra $i/disable_ipv6; done; cat /proc/net/if_inet6 | grep eth0 | wc -l")
	if out != "0\n1\n0\n1\n0\n1\n0" {
		t.Errorf("accept_ra and disable_ipv6 of all, default, eth0, and eth0's addresses: %q", out)
	}
}

// CVE-2020-8558: the node's loopback services stay the node's: no route_localnet, no way to 127/8 of the host.
func TestS63HostLoopback(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod, edit(func(s *v1.LinuxContainerSecurityContext) {
		s.Capabilities = &v1.Capability{AddCapabilities: []string{"NET_ADMIN"}}
	}))
	if out := h.ExecOut(id, "cat /proc/sys/net/ipv4/conf/*/route_localnet | sort -u"); out != "0" {
		t.Errorf("route_localnet in the pod: %q", out)
	}
	for _, path := range routeLocalnet() {
		if value := strings.TrimSpace(hostFile(path)); value != "0" {
			t.Errorf("%s is %s on the host", path, value)
		}
	}
}
