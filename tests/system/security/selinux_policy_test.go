package security

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

//go:embed testdata/policy.cil
var policyText string

const selinuxFs = "/sys/fs/selinux"

// hasSelinux says whether the kernel has it (started with security=selinux: tests/vm/run --selinux).
func hasSelinux() bool {
	_, err := os.Stat(selinuxFs)
	return err == nil
}

var loadPolicy = sync.OnceValue(func() error {
	if strings.Contains(hostFile("/proc/self/attr/current"), ":") {
		return fmt.Errorf("this kernel has a policy already: not a test machine")
	}
	if err := unix.Mount("selinuxfs", selinuxFs, "selinuxfs", 0, ""); err != nil {
		return fmt.Errorf("mount selinuxfs: %w", err)
	}
	text := policyText
	order := make([]string, 1024)
	for i := range order {
		order[i] = fmt.Sprintf("c%d", i)
		text += fmt.Sprintf("(category c%d)\n", i)
	}
	text += "(categoryorder (" + strings.Join(order, " ") + "))\n"
	source, binary := os.TempDir()+"/crisp-policy.cil", os.TempDir()+"/crisp-policy.bin"
	defer os.Remove(source)
	defer os.Remove(binary)
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("secilc", "-o", binary, "-f", "/dev/null", source).CombinedOutput(); err != nil {
		return fmt.Errorf("secilc: %w: %s", err, out)
	}
	policy, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	return os.WriteFile(selinuxFs+"/load", policy, 0o600)
})

// withPolicy gives the kernel the policy of testdata, not enforced.
func withPolicy(t *testing.T) {
	t.Helper()
	if !hasSelinux() {
		t.Skip("this kernel has no SELinux: this runs in the VM (tests/vm/run --selinux)")
	}
	if err := loadPolicy(); err != nil {
		t.Fatal(err)
	}
	enforce(t, false)
}

func enforce(t *testing.T, on bool) {
	t.Helper()
	value := "0"
	if on {
		value = "1"
	}
	if err := os.WriteFile(selinuxFs+"/enforce", []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

// labelOf is the label of a file itself, also of a link; "" if it has none.
func labelOf(path string) string {
	buffer := make([]byte, 512)
	n, err := unix.Lgetxattr(path, "security.selinux", buffer)
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimRight(string(buffer[:n]), "\x00")
}

func setLabel(t *testing.T, path, label string) {
	t.Helper()
	if err := unix.Lsetxattr(path, "security.selinux", []byte(label+"\x00"), 0); err != nil {
		t.Fatalf("label %s: %v", path, err)
	}
}
