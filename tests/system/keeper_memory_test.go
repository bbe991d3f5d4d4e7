package system

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"crisp.test/tests/system/host"
)

var residentLine = regexp.MustCompile(`(?m)^Rss:\s+(\d+) kB$`)

// The parent of a hundred containers is resident with about 0.95 MB, its own text included. Which pages of its text are
// resident differs from run to run by 80 kB, so the bound leaves room above the figure: the log line has it.
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
	status, err := os.ReadFile("/proc/" + strconv.Itoa(keepers[0]) + "/smaps_rollup") // exact; VmRSS of status is kept per CPU
	if err != nil {
		t.Fatal(err)
	}
	match := residentLine.FindSubmatch(status)
	if match == nil {
		t.Fatalf("no Rss in %s", status)
	}
	resident, _ := strconv.Atoi(string(match[1]))
	t.Logf("resident with 100 containers: %d kB", resident)
	if resident >= 1280 {
		t.Errorf("the keeper is resident with %d kB", resident)
	}
}
