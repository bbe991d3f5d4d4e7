package system

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"crisp.test/tests/system/host"
)

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// The parent of a hundred containers stays below 1 MB, its own text included.
func TestKeeperMemory(t *testing.T) {
	if os.Getenv("CRISP_FLAVOUR") != "system" {
		t.Skip("the figure is the shipped keeper's")
	}
	h := host.Start(t, host.Options{})
	pods := []*host.Pod{h.Pod(), h.Pod(), h.Pod(), h.Pod()}
	for i := 0; i < 100; i++ {
		h.Run(pods[i%len(pods)], []string{"/bin/sleep", "1000"})
	}
	keepers := h.KeeperPids()
	if len(keepers) != 1 {
		t.Fatalf("keepers %v", keepers)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(keepers[0]) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	match := residentLine.FindSubmatch(status)
	if match == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	resident, _ := strconv.Atoi(string(match[1]))
	t.Logf("resident with 100 containers: %d kB", resident)
	if resident >= 1024 {
		t.Errorf("the keeper is resident with %d kB", resident)
	}
}
