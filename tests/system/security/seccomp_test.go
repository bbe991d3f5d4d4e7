package security

import (
	"os"
	"os/exec"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// i386 programs run under the default profile, with the same denials.
func TestI386UnderDefaultProfile(t *testing.T) {
	h := host.Start(t, host.Options{})
	program := h.Folder + "/i386"
	source := h.Folder + "/i386.c"
	if err := os.WriteFile(source, []byte(i386Program), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-m32", "-O1", "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector", "-o", program, source).CombinedOutput(); err != nil {
		t.Skipf("this gcc makes no i386 programs: %s", out)
	}
	s, out, errText := h.Sh(h.Pod(), "/i386", func(c *v1.ContainerConfig) {
		c.Mounts = []*v1.Mount{{HostPath: program, ContainerPath: "/i386", Readonly: true}}
	})
	if s.ExitCode != 7 || out != "i386" || errText != "" {
		t.Errorf("exit code %d, %q, %q", s.ExitCode, out, errText)
	}
}

// Writes "i386" if mount(2) (21) gives EPERM, unshare(CLONE_NEWUSER) (310) EPERM, call 999 ENOSYS and socket(AF_VSOCK) (359) EPERM.
const i386Program = `
static int call(int n, int a, int b, int c, int d, int e) {
  int r;
  __asm__ volatile("int $0x80" : "=a"(r) : "0"(n), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
  return r;
}
void _start(void) {
  static const char text[] = "i386\n";
  if (call(21, 0, (int)"/", (int)"tmpfs", 0, 0) != -1) call(1, 2, 0, 0, 0, 0);
  if (call(310, 0x10000000, 0, 0, 0, 0) != -1) call(1, 3, 0, 0, 0, 0);
  if (call(999, 0, 0, 0, 0, 0) != -38) call(1, 4, 0, 0, 0, 0);
  if (call(359, 40, 1, 0, 0, 0) != -1) call(1, 5, 0, 0, 0, 0);
  call(4, 1, (int)text, 5, 0, 0);
  call(1, 7, 0, 0, 0, 0);
}
`
