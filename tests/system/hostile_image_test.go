package system

import (
	"archive/tar"
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
	pod := h.Pod()
	id := h.Create(pod, h.ContainerConfig(nil, func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
	if h.TryStart(id) == nil {
		h.WaitExit(id)
	}
	attacker := h.Sleeper(pod)
	h.Exec(attacker, "sh", "-c", "for p in /proc/[0-9]*; do echo x > $p/exe; done; true")
	after, _ := os.ReadFile(keeper)
	if string(after) != string(before) {
		t.Error("crisp-keeper on disk has changed")
	}
	h.ExecOut(attacker, "true")
}
