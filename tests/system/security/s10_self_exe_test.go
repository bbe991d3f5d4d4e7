package security

import (
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// An entrypoint that runs the runtime's own program again finds nothing to overwrite.
func TestS10ProcSelfExe(t *testing.T) {
	h := host.Start(t, host.Options{})
	keeper := host.Binary(t, "crisp-keeper")
	before, err := os.ReadFile(keeper)
	if err != nil {
		t.Fatal(err)
	}
	image := registry.Build(registry.Config{Entrypoint: []string{"/entry"}}, registry.BusyboxLayer(),
		registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "entry", Body: "#!/proc/self/exe\n"}})))
	if err := tryLoad(h, image); err != nil {
		t.Fatal(err)
	}
	// A file that runs cannot be written, so the attack below would have to wait for the keeper's end: see the seal itself.
	if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.KeeperPids()[0])); !strings.HasPrefix(exe, "/memfd:") {
		t.Errorf("crisp-keeper runs from %q, not from a sealed copy", exe)
	}
	pod := h.Pod()
	id := h.Create(pod, h.ContainerConfig(nil, func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
	if h.TryStart(id) == nil {
		h.WaitExit(id)
	}
	// The real attack (CVE-2019-5736): keep the program of a joining process open for reading, then write to it once nobody
	// runs it any more.
	const attack = "while true; do for p in /proc/[2-9]* /proc/1[0-9]*; do { sleep 0.01; echo x > /proc/self/fd/3; } 3<$p/exe; done; done 2>/dev/null"
	attacker := h.Sleeper(pod, func(c *v1.ContainerConfig) {
		c.Image.Image, c.Command = image.ID(), []string{"sh", "-c", attack}
	})
	for i := 0; i < 200; i++ {
		h.Exec(attacker, "/entry")
	}
	after, _ := os.ReadFile(keeper)
	if string(after) != string(before) {
		t.Error("crisp-keeper on disk has changed")
	}
	h.ExecOut(attacker, "true")
}
