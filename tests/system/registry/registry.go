package registry

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"crisp.test/tests/system/node"
)

// Registry is a running Debian docker-registry on loopback.
type Registry struct {
	Address string // host:port
}

var (
	sharedOnce sync.Once
	shared     *Registry
	sharedErr  error
)

// Shared is one registry for the whole program, with the plain images in it. It ends with the node.
func Shared(t testing.TB) *Registry {
	t.Helper()
	sharedOnce.Do(func() { shared, sharedErr = Start(filepath.Join(node.Dir(), "registry")) })
	if sharedErr != nil {
		t.Fatalf("registry: %v", sharedErr)
	}
	return shared
}

// Start runs docker-registry with its blobs in folder and pushes busybox and pause.
func Start(folder string) (*Registry, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &Registry{Address: fmt.Sprintf("127.0.0.1:%d", port)}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s/blobs}, delete: {enabled: true}}\nhttp: {addr: %s}\n", folder, r.Address)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(folder+"/config.yml", []byte(config), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(folder + "/log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("docker-registry", "serve", folder+"/config.yml")
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := r.wait(); err != nil {
		return nil, err
	}
	if err := r.Push("busybox", "latest", Busybox()); err != nil {
		return nil, err
	}
	pause := Busybox(func(c *Config) { c.Entrypoint, c.Cmd = []string{"/bin/sleep", "1000000000"}, nil })
	return r, r.Push("crisp.test/pause", "latest", pause)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (r *Registry) wait() error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		reply, err := http.Get("http://" + r.Address + "/v2/")
		if err == nil {
			reply.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Push uploads an image under a tag (or, with tag "", by digest only).
func (r *Registry) Push(repo, tag string, image *Image) error {
	for _, layer := range image.Layers {
		if err := r.pushBlob(repo, layer.Packed); err != nil {
			return err
		}
	}
	if err := r.pushBlob(repo, image.Config); err != nil {
		return err
	}
	if tag == "" {
		tag = image.Digest()
	}
	return r.PutManifest(repo, tag, image.MediaType, image.Manifest)
}

// PutManifest stores a manifest, list or index under a tag or digest.
func (r *Registry) PutManifest(repo, tag, mediaType string, manifest []byte) error {
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.Address, repo, tag)
	return send("PUT", url, mediaType, manifest, http.StatusCreated)
}

func (r *Registry) pushBlob(repo string, blob []byte) error {
	base := fmt.Sprintf("http://%s/v2/%s/blobs/", r.Address, repo)
	if reply, err := http.Head(base + Digest(blob)); err == nil && reply.StatusCode == http.StatusOK {
		return nil
	}
	reply, err := http.Post(base+"uploads/", "", nil)
	if err != nil {
		return err
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusAccepted {
		return fmt.Errorf("POST %suploads/: %s", base, reply.Status)
	}
	location, err := reply.Location()
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", Digest(blob))
	location.RawQuery = query.Encode()
	return send("PUT", location.String(), "application/octet-stream", blob, http.StatusCreated)
}

func send(method, url, mediaType string, body []byte, want int) error {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", mediaType)
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(reply.Body, 2000))
		return fmt.Errorf("%s %s: %s: %s", method, url, reply.Status, text)
	}
	return nil
}
