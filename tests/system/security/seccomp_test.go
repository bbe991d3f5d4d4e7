package security

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// profile writes a seccomp profile below the test's folder.
func profile(h *host.Host, name, text string) string {
	h.Helper()
	path := h.Folder + "/" + name + ".json"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	return path
}

func localhost(path string) func(*v1.LinuxContainerSecurityContext) {
	return func(s *v1.LinuxContainerSecurityContext) {
		s.Seccomp = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Localhost, LocalhostRef: path}
	}
}

const noChmod = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["chmod","fchmod","fchmodat","fchmodat2"],"action":"SCMP_ACT_ERRNO","errnoRet":%d}]}`

// Every kind of seccomp profile, by the new field and by the old one; the new one wins; privileged ignores both.
func TestSeccompProfiles(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	path := profile(h, "nochmod", fmt.Sprintf(noChmod, 13))
	kind := func(k v1.SecurityProfile_ProfileType) *v1.SecurityProfile {
		return &v1.SecurityProfile{ProfileType: k}
	}
	for name, c := range map[string]struct {
		change func(*v1.LinuxContainerSecurityContext)
		mode   string
		denied bool
	}{
		"none":               {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp = nil }, "0", false},
		"default":            {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp = kind(v1.SecurityProfile_RuntimeDefault) }, "2", false},
		"unconfined":         {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp = kind(v1.SecurityProfile_Unconfined) }, "0", false},
		"localhost":          {localhost(path), "2", true},
		"localhost/ before":  {localhost("localhost/" + path), "2", true},
		"old default":        {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp, s.SeccompProfilePath = nil, "runtime/default" }, "2", false},
		"older default":      {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp, s.SeccompProfilePath = nil, "docker/default" }, "2", false},
		"old unconfined":     {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp, s.SeccompProfilePath = nil, "unconfined" }, "0", false},
		"old localhost":      {func(s *v1.LinuxContainerSecurityContext) { s.Seccomp, s.SeccompProfilePath = nil, "localhost/"+path }, "2", true},
		"new one wins":       {func(s *v1.LinuxContainerSecurityContext) { s.SeccompProfilePath = "localhost/" + path }, "2", false},
		"privileged ignores": {func(s *v1.LinuxContainerSecurityContext) { localhost(path)(s); s.Privileged = true }, "0", false},
	} {
		id := h.Sleeper(pod, edit(c.change))
		for _, pid := range []string{"1", "self"} {
			if got := h.ExecOut(id, "grep ^Seccomp: /proc/"+pid+"/status | cut -f2"); got != c.mode {
				t.Errorf("%s, process %s: mode %s, want %s", name, pid, got, c.mode)
			}
		}
		_, errText, code := h.Exec(id, "sh", "-c", "touch /tmp/x && chmod 700 /tmp/x")
		if (code != 0) != c.denied || (c.denied && !strings.Contains(errText, "Permission denied")) { // EACCES, as the profile says
			t.Errorf("%s: chmod ends with %d, %q", name, code, errText)
		}
		h.RemoveContainer(id)
	}
}

// A container keeps the profile it was made with: over a change of the file, its removal and the daemon's death.
func TestSeccompProfileOutlivesItsFile(t *testing.T) {
	h := host.Start(t, host.Options{})
	path := profile(h, "p", fmt.Sprintf(noChmod, 13))
	pod := h.Pod()
	running := h.Sleeper(pod, edit(localhost(path)))
	created := h.Create(pod, h.ContainerConfig([]string{"sh", "-c", "chmod 700 /tmp"}, edit(localhost(path))))
	profile(h, "p", `{"defaultAction":"SCMP_ACT_ALLOW"}`)
	if s, _, errText := h.Sh(pod, "chmod 700 /tmp", edit(localhost(path))); s.ExitCode != 0 {
		t.Errorf("the new text is not taken: %q", errText)
	}
	os.Remove(path)
	for _, when := range []string{"before", "after"} {
		if _, errText, code := h.Exec(running, "chmod", "700", "/tmp"); code == 0 || !strings.Contains(errText, "Permission denied") {
			t.Errorf("%s the daemon's death: chmod ends with %d, %q", when, code, errText)
		}
		if when == "before" {
			h.KillDaemon()
			h.StartDaemon()
		}
	}
	h.StartContainer(created)
	if s := h.WaitExit(created); s.ExitCode == 0 {
		t.Error("the container that was created before has lost its profile")
	}
}

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
