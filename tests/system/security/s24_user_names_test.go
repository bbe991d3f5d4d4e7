package security

import (
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// USER of an image: numbers that overflow and names that are no plain number, even where the image's passwd gives each
// such name uid 0. Refused, or exactly what it says; never root unless it is root.
func TestS24HostileImageUser(t *testing.T) {
	h := host.Start(t, host.Options{})
	users := []string{"4294967296", "4294967295", "2147483648", "65536:0", "-1", "+0", "1", "01", "0x0", " 0", "1000:", ":0", "9999999999999", "root\n", strings.Repeat("u", 1<<20)}
	passwd, entries := "", []registry.Entry{}
	for _, user := range users[:14] {
		passwd += strings.TrimSpace(strings.SplitN(user, ":", 2)[0]) + ":x:0:0::/:/bin/sh\n"
	}
	for _, e := range registry.BusyboxEntries() {
		if e.Name == "etc/passwd" {
			e.Body = passwd
		}
		entries = append(entries, e)
	}
	layer := registry.GzipLayer(registry.Tar(entries))
	pod := h.Pod()
	for _, user := range users {
		image := registry.Build(registry.Config{Cmd: []string{"id", "-u"}, User: user}, layer)
		if err := tryLoad(h, image); err != nil {
			continue
		}
		id, err := h.TryCreate(pod, h.ContainerConfig(nil, func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
		if err == nil {
			err = h.TryStart(id)
		}
		if err != nil {
			continue
		}
		h.WaitExit(id)
		if out, _ := h.Written(id); out == "0" {
			t.Errorf("USER %.30q became root", user)
		} else if user == "1" && out != "1" {
			t.Errorf("USER 1 became %q", out)
		}
	}
}

// User strings that overflow, or that a passwd file of the image maps to root, never become root.
func TestS24HostileUserNames(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, user := range []string{"4294967296", "2147483648", "-1", "+0", "01", "0x0", " 0", "9999999999999", "root\n", "1000:", ":0"} {
		config := h.ContainerConfig([]string{"sh", "-c", "id -u"}, func(c *v1.ContainerConfig) { c.Linux.SecurityContext.RunAsUsername = user })
		id, err := h.TryCreate(pod, config)
		if err == nil {
			err = h.TryStart(id)
		}
		if err != nil {
			continue
		}
		h.WaitExit(id)
		if out, _ := h.Written(id); strings.TrimSpace(out) == "0" {
			t.Errorf("user %q became root", user)
		}
	}
}
