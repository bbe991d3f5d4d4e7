package system

import (
	"archive/tar"
	"os"
	"strings"
	"testing"

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
