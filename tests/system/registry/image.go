// Package registry makes images in memory, pushes them, and serves them: by Debian's docker-registry where a real
// registry is wanted, and by a scriptable one for bytes that no registry would send.
package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"sort"
	"strings"
	"sync"
	"time"
)

// Media types of the two manifest families.
const (
	OCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	OCIIndex       = "application/vnd.oci.image.index.v1+json"
	OCIConfig      = "application/vnd.oci.image.config.v1+json"
	OCILayerGzip   = "application/vnd.oci.image.layer.v1.tar+gzip"
	OCILayerZstd   = "application/vnd.oci.image.layer.v1.tar+zstd"
	OCILayerTar    = "application/vnd.oci.image.layer.v1.tar"
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerConfig   = "application/vnd.docker.container.image.v1+json"
	DockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Entry is one member of a layer.
type Entry struct {
	Name     string // as written into the tar, hostile or not
	Type     byte   // tar.TypeReg when 0
	Body     string
	Link     string
	Mode     int64 // 0755 when 0
	Uid, Gid int
	Xattrs   map[string]string
}

// Layer is a tar, packed.
type Layer struct {
	Packed    []byte
	DiffID    string // digest of the tar
	MediaType string
}

// Config is the part of an image's configuration that matters to a runtime.
type Config struct {
	User       string              `json:"User,omitempty"`
	Env        []string            `json:"Env,omitempty"`
	Entrypoint []string            `json:"Entrypoint,omitempty"`
	Cmd        []string            `json:"Cmd,omitempty"`
	WorkingDir string              `json:"WorkingDir,omitempty"`
	StopSignal string              `json:"StopSignal,omitempty"`
	Volumes    map[string]struct{} `json:"Volumes,omitempty"`
	Labels     map[string]string   `json:"Labels,omitempty"`
}

// Image is a manifest with its blobs.
type Image struct {
	Manifest  []byte
	MediaType string
	Config    []byte
	Layers    []Layer
}

// Digest is "sha256:..." of the bytes.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ID is the image id of the CRI: the digest of the configuration.
func (i *Image) ID() string { return Digest(i.Config) }

// Digest is the digest of the manifest.
func (i *Image) Digest() string { return Digest(i.Manifest) }

// Tar packs entries in their order.
func Tar(entries []Entry) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Name: e.Name, Typeflag: e.Type, Linkname: e.Link, Mode: e.Mode, Uid: e.Uid, Gid: e.Gid,
			Size: int64(len(e.Body)), ModTime: time.Unix(1700000000, 0), Format: tar.FormatPAX}
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if header.Mode == 0 {
			header.Mode = 0o755
		}
		for name, value := range e.Xattrs {
			if header.PAXRecords == nil {
				header.PAXRecords = map[string]string{}
			}
			header.PAXRecords["SCHILY.xattr."+name] = value
		}
		check(w.WriteHeader(header))
		_, err := w.Write([]byte(e.Body))
		check(err)
	}
	check(w.Close())
	return out.Bytes()
}

// GzipLayer and friends pack a tar.
func GzipLayer(tarball []byte) Layer {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(tarball)
	check(err)
	check(w.Close())
	return Layer{Packed: out.Bytes(), DiffID: Digest(tarball), MediaType: OCILayerGzip}
}

func PlainLayer(tarball []byte) Layer {
	return Layer{Packed: tarball, DiffID: Digest(tarball), MediaType: OCILayerTar}
}

// ZstdLayer uses Debian's zstd program.
func ZstdLayer(tarball []byte) Layer {
	cmd := exec.Command("zstd", "-q", "-c")
	cmd.Stdin = bytes.NewReader(tarball)
	packed, err := cmd.Output()
	check(err)
	return Layer{Packed: packed, DiffID: Digest(tarball), MediaType: OCILayerZstd}
}

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest"`
	Size      int64     `json:"size"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant,omitempty"`
}

// Build makes an OCI image for linux/amd64.
func Build(config Config, layers ...Layer) *Image {
	return build(config, OCIManifest, OCIConfig, layers)
}

// BuildDocker makes a Docker schema 2 image.
func BuildDocker(config Config, layers ...Layer) *Image {
	for i := range layers {
		layers[i].MediaType = DockerLayer
	}
	return build(config, DockerManifest, DockerConfig, layers)
}

func build(config Config, manifestType, configType string, layers []Layer) *Image {
	diffs := []string{}
	blobs := []descriptor{}
	for _, layer := range layers {
		diffs = append(diffs, layer.DiffID)
		blobs = append(blobs, descriptor{MediaType: layer.MediaType, Digest: Digest(layer.Packed), Size: int64(len(layer.Packed))})
	}
	configJSON := encode(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	manifest := encode(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": descriptor{MediaType: configType, Digest: Digest(configJSON), Size: int64(len(configJSON))},
		"layers": blobs,
	})
	return &Image{Manifest: manifest, MediaType: manifestType, Config: configJSON, Layers: layers}
}

// Index makes an OCI index (or Docker list) that names images of other platforms before the right one.
func Index(mediaType string, right *Image, others ...string) []byte {
	entries := []descriptor{}
	for _, arch := range others {
		entries = append(entries, descriptor{MediaType: right.MediaType, Digest: Digest([]byte(arch)), Size: 7,
			Platform: &platform{Architecture: arch, OS: "linux"}})
	}
	entries = append(entries, descriptor{MediaType: right.MediaType, Digest: right.Digest(), Size: int64(len(right.Manifest)),
		Platform: &platform{Architecture: "amd64", OS: "linux"}})
	return encode(map[string]any{"schemaVersion": 2, "mediaType": mediaType, "manifests": entries})
}

var busyboxOnce = sync.OnceValue(func() []Entry {
	binary, err := os.ReadFile("/bin/busybox")
	check(err)
	list, err := exec.Command("/bin/busybox", "--list").Output()
	check(err)
	entries := []Entry{}
	for _, dir := range []string{"bin", "etc", "root", "home", "home/app", "proc", "sys", "dev", "usr", "usr/bin", "var", "var/log"} {
		entries = append(entries, Entry{Name: dir + "/", Type: tar.TypeDir})
	}
	entries = append(entries, Entry{Name: "tmp/", Type: tar.TypeDir, Mode: 0o1777},
		Entry{Name: "bin/busybox", Body: string(binary)},
		Entry{Name: "etc/passwd", Mode: 0o644, Body: "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/var:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"},
		Entry{Name: "etc/group", Mode: 0o644, Body: "root:x:0:\nwww-data:x:33:\napp:x:1000:\nextra:x:50000:app\n"})
	applets := strings.Fields(string(list))
	sort.Strings(applets)
	for _, applet := range applets {
		if applet != "busybox" {
			entries = append(entries, Entry{Name: "bin/" + applet, Type: tar.TypeSymlink, Link: "busybox"})
		}
	}
	return entries
})

// BusyboxEntries is a small root folder with Debian's static busybox.
func BusyboxEntries() []Entry { return append([]Entry(nil), busyboxOnce()...) }

var busyboxLayer = sync.OnceValue(func() Layer { return GzipLayer(Tar(busyboxOnce())) })

// BusyboxLayer is that folder as a layer.
func BusyboxLayer() Layer { return busyboxLayer() }

// Busybox is the plain image most tests use.
func Busybox(edit ...func(*Config)) *Image {
	config := Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"sh"}}
	for _, e := range edit {
		e(&config)
	}
	return Build(config, BusyboxLayer())
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	check(err)
	return data
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
