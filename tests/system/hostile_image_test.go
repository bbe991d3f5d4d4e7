package system

import (
	"archive/tar"
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// Bytes that are not what their digest promises: refused, no image, and the right image can be pulled right after.
func TestHostileBlobs(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	good := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "good", Body: "good"}})))
	layer := good.Layers[0].Packed
	digest := registry.Digest(layer)
	flipped := append([]byte(nil), layer...)
	flipped[len(flipped)/2] ^= 1
	wrongDiff := registry.Build(registry.Config{}, registry.Layer{Packed: layer, DiffID: registry.Digest([]byte("other")), MediaType: registry.OCILayerGzip})
	for name, spoil := range map[string]func(){
		"flipped layer":   func() { reg.SetBlob(digest, flipped, 0) },
		"truncated layer": func() { reg.SetBlob(digest, layer, len(layer)/2) },
		"short layer":     func() { reg.SetBlob(digest, layer[:len(layer)-10], 0) },
		"empty layer":     func() { reg.SetBlob(digest, nil, 0) },
		"longer layer":    func() { reg.SetBlob(digest, append(append([]byte(nil), layer...), "tail"...), 0) },
		"wrong config":    func() { reg.SetBlob(registry.Digest(good.Config), []byte("{}"), 0) },
		"wrong diff id":   func() { reg.Add("hostile/blob", "v1", wrongDiff) },
		"not a manifest":  func() { reg.SetManifest("hostile/blob", "v1", registry.OCIManifest, []byte("{\"schemaVersion\":2}")) },
		"both kinds": func() {
			both := strings.Replace(string(good.Manifest), "{", `{"manifests":[],`, 1)
			reg.SetManifest("hostile/blob", "v1", registry.OCIManifest, []byte(both))
		},
	} {
		reg.Add("hostile/blob", "v1", good)
		spoil()
		if id, err := pull(h, reg.Address+"/hostile/blob:v1"); err == nil {
			t.Errorf("%s: accepted as %s", name, id)
		}
		if find(h, reg.Address+"/hostile/blob:v1") != nil {
			t.Errorf("%s: an image is there", name)
		}
	}
	reg.SetManifest("hostile/blob", good.Digest(), registry.OCIManifest, append([]byte(" "), good.Manifest...))
	if _, err := pull(h, reg.Address+"/hostile/blob@"+good.Digest()); err == nil {
		t.Error("a manifest of another digest was accepted")
	}
	reg.Add("hostile/blob", "v1", good)
	if id, err := pull(h, reg.Address+"/hostile/blob:v1"); err != nil || id != good.ID() {
		t.Errorf("the good image afterwards: %q, %v", id, err)
	}
}

// Layers that try to leave their folder: refused or confined; the host's files stay as they are.
func TestHostileLayers(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	outside := h.Folder + "/outside"
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(outside+"/canary", []byte("canary"), 0o644)
	link := func(name, to string) registry.Entry {
		return registry.Entry{Name: name, Type: tar.TypeSymlink, Link: to}
	}
	up := strings.Repeat("../", 20)
	for name, entries := range map[string][]registry.Entry{
		"dot dot":           {{Name: up + outside[1:] + "/escaped", Body: "x"}},
		"absolute":          {{Name: outside + "/escaped", Body: "x"}},
		"through a link":    {link("out", outside), {Name: "out/escaped", Body: "x"}},
		"through dots":      {link("out", up+outside[1:]), {Name: "out/escaped", Body: "x"}},
		"hard link out":     {{Name: "hard", Type: tar.TypeLink, Link: outside + "/canary"}, {Name: "hard", Body: "overwritten"}},
		"hard link by dots": {{Name: "hard", Type: tar.TypeLink, Link: up + outside[1:] + "/canary"}},
		"root is a link":    {link(".", outside), {Name: "escaped", Body: "x"}},
		"whiteout of ..":    {{Name: ".wh..."}, {Name: "a/.wh..wh..opq"}, {Name: ".wh.."}},
		"proc":              {link("self", "/proc/self/root"), {Name: "self" + outside + "/escaped", Body: "x"}},
	} {
		image := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.BusyboxLayer(), registry.GzipLayer(registry.Tar(entries)))
		reg.Add("hostile/layer", "v1", image)
		_, err := pull(h, reg.Address+"/hostile/layer:v1")
		t.Logf("%s: %v", name, err)
		names, _ := os.ReadDir(outside)
		data, _ := os.ReadFile(outside + "/canary")
		if len(names) != 1 || string(data) != "canary" {
			t.Fatalf("%s: the host's folder now holds %v, canary %q", name, names, data)
		}
	}
}

// Images whose /proc, /dev, /etc, /tmp ... are links out: nothing of the host changes; the pod starts or is refused cleanly.
func TestImageLinksOut(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	outside := h.Folder + "/outside"
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	pod := h.Pod()
	for _, place := range []string{"dev", "dev/pts", "dev/shm", "etc", "etc/hosts", "etc/resolv.conf", "etc/mtab", "run", "tmp", "proc", "sys"} {
		for _, to := range []string{outside, strings.Repeat("../", 20) + outside[1:], "nowhere/at/all", place} {
			entries := []registry.Entry{}
			for _, e := range registry.BusyboxEntries() {
				if e.Name != place+"/" && !(strings.HasPrefix(e.Name, place+"/")) {
					entries = append(entries, e)
				}
			}
			entries = append(entries, registry.Entry{Name: place, Type: tar.TypeSymlink, Link: to})
			image := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.PlainLayer(registry.Tar(entries)))
			reg.Add("links/out", "v1", image)
			if _, err := pull(h, reg.Address+"/links/out:v1"); err != nil {
				t.Errorf("%s -> %s: pull: %v", place, to, err)
				continue
			}
			id, err := h.TryCreate(pod, h.ContainerConfig([]string{"sh", "-c", "grep -c . /proc/self/status; grep -q ' /proc proc ' /proc/self/mounts && echo real"},
				func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
			if err == nil {
				err = h.TryStart(id)
			}
			if err == nil {
				h.WaitExit(id)
				if out, errText := h.Written(id); !strings.Contains(out, "real") {
					t.Errorf("%s -> %s: /proc is not real: %q %q", place, to, out, errText)
				}
			}
			if id != "" {
				h.RemoveContainer(id)
			}
			if names, _ := os.ReadDir(outside); len(names) != 0 {
				t.Fatalf("%s -> %s: the host's folder now holds %v", place, to, names)
			}
		}
	}
}

// An entrypoint that runs the runtime's own program again finds nothing to overwrite.
func TestProcSelfExe(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	keeper := host.Binary(t, "crisp-keeper")
	before, err := os.ReadFile(keeper)
	if err != nil {
		t.Fatal(err)
	}
	image := registry.Build(registry.Config{Entrypoint: []string{"/entry"}}, registry.BusyboxLayer(),
		registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "entry", Body: "#!/proc/self/exe\n"}})))
	reg.Add("self/exe", "v1", image)
	if _, err := pull(h, reg.Address+"/self/exe:v1"); err != nil {
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

// USER of an image: numbers that overflow and names that are no plain number, even where the image's passwd gives each
// such name uid 0. Refused, or exactly what it says; never root unless it is root.
func TestHostileImageUser(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
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
		reg.Add("hostile/user", "v1", image)
		if _, err := pull(h, reg.Address+"/hostile/user:v1"); err != nil {
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

// WORKDIR and VOLUME of an image: through links and dots, over /proc, too long. Nothing is made on the host.
func TestHostileImagePaths(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	outside := h.Folder + "/outside"
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	layer := registry.GzipLayer(registry.Tar(append(registry.BusyboxEntries(),
		registry.Entry{Name: "a", Type: tar.TypeSymlink, Link: "/"}, registry.Entry{Name: "out", Type: tar.TypeSymlink, Link: outside})))
	pod := h.Pod()
	paths := []string{"/a/b", "/../../../etc/x", "/out/made", "/proc/self/fd/3", "/proc/self", "/etc/passwd", strings.Repeat("/d", 2047), "/proc", "/sys/kernel", "relative/../..", "/x\x00y"}
	for _, path := range paths {
		for kind, config := range map[string]registry.Config{
			"WORKDIR": {Cmd: []string{"true"}, WorkingDir: path}, "VOLUME": {Cmd: []string{"true"}, Volumes: map[string]struct{}{path: {}}}} {
			image := registry.Build(config, layer)
			reg.Add("hostile/path", "v1", image)
			if _, err := pull(h, reg.Address+"/hostile/path:v1"); err != nil {
				continue
			}
			id, err := h.TryCreate(pod, h.ContainerConfig([]string{"sh", "-c", "grep -q ' /proc proc ' /proc/self/mounts && test ! -e /proc/self/made && echo real; pwd"},
				func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
			if err == nil && h.TryStart(id) == nil {
				h.WaitExit(id)
				out, errText := h.Written(id)
				if !strings.HasPrefix(out, "real") || strings.Contains(out, "unreachable") {
					t.Errorf("%s %.60q: %q %q", kind, path, out, errText)
				}
			}
			if id != "" {
				h.RemoveContainer(id)
			}
			if names, _ := os.ReadDir(outside); len(names) != 0 {
				t.Fatalf("%s %.60q: the host's folder now holds %v", kind, path, names)
			}
		}
	}
	for _, made := range []string{"/etc/x", "/b"} {
		if _, err := os.Lstat(made); err == nil {
			t.Errorf("%s was made on the host", made)
		}
	}
}

// S2: a mount whose target is a link of the image into procfs would stand in for what the masks protect (CVE-2023-28642).
func TestMountThroughLinkIntoProc(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	pod := h.Pod()
	for _, to := range []string{"/proc/sys", "/proc/self/attr", "/sys/kernel", "../../proc"} {
		image := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.BusyboxLayer(),
			registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "vol", Type: tar.TypeSymlink, Link: to}})))
		reg.Add("mount/link", "v1", image)
		if _, err := pull(h, reg.Address+"/mount/link:v1"); err != nil {
			t.Fatal(err)
		}
		id := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}, func(c *v1.ContainerConfig) {
			c.Image.Image = image.ID()
			c.Mounts = []*v1.Mount{{HostPath: h.Folder, ContainerPath: "/vol"}}
		}))
		if err := h.TryStart(id); err == nil || !strings.Contains(err.Error(), "/vol") {
			t.Errorf("/vol -> %s: start: %v", to, err)
		}
		h.RemoveContainer(id)
	}
}
