package security

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

func hasAppArmor() bool {
	return strings.HasPrefix(hostFile("/sys/module/apparmor/parameters/enabled"), "Y")
}

const denyWrite = `
profile crisp-test-deny-write flags=(attach_disconnected) {
  file,
  capability,
  network,
  signal,
  deny /denied** w,
}
`

// Profiles by the old field and the new one, which wins: a loaded one holds for the first process and for an exec, one that is
// not loaded is refused. Where the kernel has no AppArmor every named one is refused, and the default is none.
func TestAppArmor(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	named := func(name string) func(*v1.LinuxContainerSecurityContext) {
		return func(s *v1.LinuxContainerSecurityContext) {
			s.Apparmor = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Localhost, LocalhostRef: name}
		}
	}
	old := func(name string) func(*v1.LinuxContainerSecurityContext) {
		return func(s *v1.LinuxContainerSecurityContext) { s.ApparmorProfile = name }
	}
	for name, change := range map[string]func(*v1.LinuxContainerSecurityContext){
		"not loaded": named("no-such-profile"), "not loaded, old": old("localhost/no-such-profile"), "empty": named(""), "odd": old("crisp-default"),
	} {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, edit(change)))
		if err == nil || !strings.Contains(err.Error(), "apparmor") {
			t.Errorf("%s: %v", name, err)
		}
	}
	label := "cat /proc/self/attr/apparmor/current 2>/dev/null || cat /proc/self/attr/current 2>/dev/null || echo none"
	if !hasAppArmor() {
		for name, change := range map[string]func(*v1.LinuxContainerSecurityContext){
			"nothing": func(*v1.LinuxContainerSecurityContext) {}, "default": old("runtime/default"), "unconfined": old("unconfined"),
		} {
			if s, _, errText := h.Sh(pod, "true", edit(change)); s.ExitCode != 0 {
				t.Errorf("%s: %q", name, errText)
			}
		}
		t.Skip("this kernel has no AppArmor: the rest runs in the VM")
	}
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		t.Fatalf("AppArmor without securityfs: %v", err)
	}
	parser := exec.Command("apparmor_parser", "-Kr")
	parser.Stdin = strings.NewReader(denyWrite)
	if out, err := parser.CombinedOutput(); err != nil {
		t.Fatalf("apparmor_parser: %v, %s", err, out)
	}
	for name, c := range map[string]struct {
		change func(*v1.LinuxContainerSecurityContext)
		label  string
		denied bool
	}{
		"named":        {named("crisp-test-deny-write"), "crisp-test-deny-write (enforce)", true},
		"named, /":     {named("localhost/crisp-test-deny-write"), "crisp-test-deny-write (enforce)", true},
		"old":          {old("localhost/crisp-test-deny-write"), "crisp-test-deny-write (enforce)", true},
		"new one wins": {func(s *v1.LinuxContainerSecurityContext) { old("unconfined")(s); named("crisp-test-deny-write")(s) }, "crisp-test-deny-write (enforce)", true},
		"nothing":      {func(*v1.LinuxContainerSecurityContext) {}, "crisp-default (enforce)", false},
		"default": {func(s *v1.LinuxContainerSecurityContext) {
			s.Apparmor = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault}
		}, "crisp-default (enforce)", false},
		"old unconfined": {old("unconfined"), "unconfined", false},
		"unconfined": {func(s *v1.LinuxContainerSecurityContext) {
			s.Apparmor = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Unconfined}
		}, "unconfined", false},
	} {
		id := h.Sleeper(pod, edit(c.change))
		if got := h.ExecOut(id, label); got != c.label {
			t.Errorf("%s: an exec is %q, want %q", name, got, c.label)
		}
		if got := h.ExecOut(id, "cat /proc/1/attr/current"); got != c.label {
			t.Errorf("%s: the first process is %q, want %q", name, got, c.label)
		}
		if _, errText, code := h.Exec(id, "touch", "/denied"); (code != 0) != c.denied {
			t.Errorf("%s: touch ends with %d, %q", name, code, errText)
		}
		if _, errText, code := h.Exec(id, "sh", "-c", "echo x > /tmp/x && kill -0 1"); code != 0 {
			t.Errorf("%s: ordinary work ends with %d, %q", name, code, errText)
		}
		h.StopContainer(id, 10)
		h.RemoveContainer(id)
	}
}

// A first process that is made by a stub, because others are in its pid namespace, is held by its profile like any other.
func TestAppArmorByStub(t *testing.T) {
	if !hasAppArmor() {
		t.Skip("this kernel has no AppArmor: this runs in the VM")
	}
	h := host.Start(t, host.Options{})
	for name, change := range map[string]func(*v1.NamespaceOption){
		"shared pid":     func(o *v1.NamespaceOption) { o.Pid = v1.NamespaceMode_POD },
		"the node's pid": func(o *v1.NamespaceOption) { o.Pid = v1.NamespaceMode_NODE },
	} {
		pod := h.Pod(func(p *v1.PodSandboxConfig) { change(p.Linux.SecurityContext.NamespaceOptions) })
		_, out, errText := h.Sh(pod, "cat /proc/self/attr/current", edit(func(s *v1.LinuxContainerSecurityContext) {
			change(s.NamespaceOptions)
		}))
		if out != "crisp-default (enforce)" {
			t.Errorf("%s: the first process is %q (%s), want crisp-default", name, out, errText)
		}
	}
}
