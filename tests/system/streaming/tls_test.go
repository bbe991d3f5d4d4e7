package streaming

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// authority signs certificates for 127.0.0.1 and for clients.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pem         []byte
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.pem, _ = a.sign(t, "authority")
	return a
}

var serial int64

// sign gives a certificate and its key as PEM; the first one is the authority's own.
func (a *authority) sign(t testing.TB, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial++
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: a.key == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	signer, parent := a.key, a.certificate
	if signer == nil {
		signer, parent = private, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.key == nil {
		a.key = private
		if a.certificate, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der), block("EC PRIVATE KEY", raw)
}

func (a *authority) trusted() *rest.Config {
	return &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: a.pem}}
}

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	fresh := path + ".new"
	if err := os.WriteFile(fresh, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// secure starts a daemon whose streams go over TLS.
func secure(t *testing.T, a *authority, more string) (h *host.Host, certificate, key string) {
	t.Helper()
	if host.IsPeer() {
		t.Skip()
	}
	dir := t.TempDir()
	c, k := a.sign(t, "crisp")
	certificate, key = write(t, filepath.Join(dir, "tls.crt"), c), write(t, filepath.Join(dir, "tls.key"), k)
	config := fmt.Sprintf("[streaming]\ntls_certificate = %q\ntls_key = %q\n%s", certificate, key, more)
	return host.Start(t, host.Options{Config: config}), certificate, key
}

func TestStreamTlsExec(t *testing.T) {
	a := newAuthority(t)
	h, _, _ := secure(t, a, "")
	id := h.Sleeper(h.Pod())
	if address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true}); !strings.HasPrefix(address, "https://127.0.0.1:") {
		t.Errorf("URL %s", address)
	}
	data := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB
	sum := sha256.Sum256(data)
	for _, transport := range transports {
		s := shell(h, transport, id, "echo ready; read x; echo got $x; echo bad >&2; exit 7", streams{stdin: true, stderr: true, config: a.trusted()})
		s.out.wait(t, "ready\n")
		s.send("word\n")
		if code := s.end(); code != 7 || s.out.String() != "ready\ngot word\n" || s.err.String() != "bad\n" {
			t.Errorf("%s: code %d, stdout %q, stderr %q", transport, code, s.out, s.err)
		}
		if transport == "websocket-v4" {
			continue // which has no word for the end of stdin
		}
		// The end of stdin passes while output still comes.
		s = shell(h, transport, id, "echo first; sha256sum; echo last", streams{stdin: true, stderr: true, config: a.trusted()})
		if _, err := s.stdin.Write(data); err != nil {
			t.Fatal(err)
		}
		s.stdin.Close()
		if code := s.end(); code != 0 || s.out.String() != "first\n"+hex.EncodeToString(sum[:])+"  -\nlast\n" {
			t.Errorf("%s: code %d, stdout %q", transport, code, s.out)
		}
	}
	s := shell(h, "spdy", id, "until [ \"$(stty size)\" = '43 132' ]; do sleep 0.05; done; echo sized; exit 3", streams{tty: true, config: a.trusted()})
	s.sizes <- remotecommand.TerminalSize{Width: 132, Height: 43}
	if code := s.end(); code != 3 || !strings.Contains(s.out.String(), "sized") {
		t.Errorf("terminal: code %d, %q", code, s.out)
	}
	close(s.sizes)
}

type summed struct {
	sum  hash.Hash
	size int
}

func (s *summed) Write(data []byte) (int, error) {
	s.size += len(data)
	return s.sum.Write(data)
}

func TestStreamTlsMuchOutput(t *testing.T) {
	const size = 64 << 20
	a := newAuthority(t)
	h, _, _ := secure(t, a, "")
	id := h.Sleeper(h.Pod())
	for _, transport := range []string{"spdy", "websocket-v5"} {
		got := &summed{sum: sha256.New()}
		s := shell(h, transport, id, fmt.Sprintf("head -c %d /dev/urandom | tee /tmp/data; sha256sum /tmp/data >&2; rm /tmp/data", size),
			streams{stderr: true, out: got, config: a.trusted()})
		if code := s.end(); code != 0 || got.size != size || !strings.HasPrefix(s.err.String(), hex.EncodeToString(got.sum.Sum(nil))) {
			t.Errorf("%s: code %d, %d bytes, %x, stderr %q", transport, code, got.size, got.sum.Sum(nil), s.err)
		}
	}
}

// As without TLS: a reader that stops blocks its program, a client that goes takes it along.
func TestStreamTlsReaderStops(t *testing.T) {
	a := newAuthority(t)
	h, _, _ := secure(t, a, "hangup_grace_ms = 100\n")
	id := h.Sleeper(h.Pod())
	before := restingProcesses(h, id)
	gate := &gatedHash{open: make(chan struct{})}
	s := shell(h, "spdy", id, "echo $$ > /tmp/pid; head -c 30000000 /dev/zero; touch /tmp/written", streams{stderr: true, out: gate, config: a.trusted()})
	h.ExecOut(id, "until [ -s /tmp/pid ]; do sleep 0.01; done")
	if out := h.ExecOut(id, "sleep 0.3; ls /tmp"); strings.Contains(out, "written") {
		t.Error("the program wrote everything although nobody reads")
	}
	other := shell(h, "spdy", id, "echo other", streams{stderr: true, config: a.trusted()})
	if other.end(); other.out.String() != "other\n" {
		t.Errorf("another exec meanwhile: %q", other.out)
	}
	close(gate.open)
	if code := s.end(); code != 0 || gate.size != 30000000 {
		t.Errorf("code %d, %d bytes", code, gate.size)
	}
	for _, script := range []string{"echo ready; sleep 12345; true", "trap '' HUP; echo ready; while :; do sleep 0.05; done", "echo ready; yes"} {
		gone := shell(h, "spdy", id, script, streams{stdin: true, stderr: true, config: a.trusted()})
		gone.out.wait(t, "ready")
		gone.cancel()
		<-gone.done
		if out := h.ExecOut(id, "i=0; while set -- /proc/[0-9]*; [ $# -gt "+before+" -a $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done; echo $#"); out != before {
			t.Errorf("%q: %s processes, %s before", script, out, before)
		}
	}
}

// A client that says good-bye (close_notify) is gone, though its connection stands; one that breaks off without it, too.
func TestStreamTlsGoodBye(t *testing.T) {
	h, _, _ := secure(t, newAuthority(t), "hangup_grace_ms = 100\n")
	pod := h.Pod()
	id := h.Sleeper(pod)
	before := restingProcesses(h, id)
	for name, leave := range map[string]func(*tls.Conn) error{
		"close_notify": (*tls.Conn).CloseWrite,
		"nothing":      func(c *tls.Conn) error { return c.NetConn().(*net.TCPConn).CloseWrite() },
	} {
		r := upgrade(t, askExec("sleep", "12345")(h, pod, id), spdyExec)
		r.open("error", "stdin", "stdout")
		if err := leave(r.Conn.(*tls.Conn)); err != nil {
			t.Fatal(err)
		}
		for r.frame() != "" {
		}
		r.Close()
		wantProcesses(h, id, before)
		if t.Failed() {
			t.Fatalf("after %s", name)
		}
	}
}

func TestStreamTlsPortForward(t *testing.T) {
	a := newAuthority(t)
	h, _, _ := secure(t, a, "")
	pod := h.Pod()
	echoServer(h, pod, 7000)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, transport := range []string{"spdy", "websocket"} {
		f := forwardAs(h, a.trusted(), transport, pod, 7000)
		f.echo(t, 0, data)
		f.end(t)
	}
}

// Whoever does not speak TLS, or trusts another authority, gets nothing; and the URL stays good for the right client.
func TestStreamTlsRefused(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	h, _, _ := secure(t, a, "")
	id := h.Sleeper(h.Pod())
	address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"echo", "hello"}, Stdout: true})
	for _, transport := range []string{"spdy", "websocket-v5"} {
		if _, err := open(t, transport, address, streams{config: stranger.trusted()}).result(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("%s, wrong authority: %v", transport, err)
		}
		plain := "http" + strings.TrimPrefix(address, "https")
		if _, err := open(t, transport, plain, streams{}).result(); err == nil {
			t.Errorf("%s: plain HTTP is served", transport)
		}
	}
	target, _ := url.Parse(address)
	for _, c := range []struct{ send, want string }{
		{"GET " + target.Path + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 "},
		{"\x00\x01garbage", ""},
		{"\x16\x03\x01\x00\x05hello", "\x15\x03"}, // an alert
		{"\x80\x9d\x01\x03\x01", ""},              // SSL 2
	} {
		conn, err := net.Dial("tcp", target.Host)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(host.Limit))
		io.WriteString(conn, c.send)
		if got, err := io.ReadAll(conn); !strings.HasPrefix(string(got), c.want) || (c.want == "" && len(got) != 0) {
			t.Errorf("%q is answered %q, %v", c.send, got, err)
		}
		conn.Close()
	}
	if old, err := tls.Dial("tcp", target.Host, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 is spoken")
		old.Close()
	}
	s := open(t, "spdy", address, streams{config: a.trusted()})
	if code := s.end(); code != 0 || s.out.String() != "hello\n" {
		t.Errorf("the right client: code %d, %q", code, s.out)
	}
}

func TestStreamTlsClientAuthority(t *testing.T) {
	a, clients := newAuthority(t), newAuthority(t)
	file := write(t, filepath.Join(t.TempDir(), "clients.crt"), clients.pem)
	h, _, _ := secure(t, a, fmt.Sprintf("tls_client_ca = %q\n", file))
	id := h.Sleeper(h.Pod())
	certificate, key := clients.sign(t, "apiserver")
	known := a.trusted()
	known.CertData, known.KeyData = certificate, key
	stranger := a.trusted()
	stranger.CertData, stranger.KeyData = a.sign(t, "somebody")
	address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"echo", "hello"}, Stdout: true})
	for name, config := range map[string]*rest.Config{"none": a.trusted(), "of another authority": stranger} {
		if _, err := open(t, "spdy", address, streams{config: config}).result(); err == nil {
			t.Errorf("certificate %s: served", name)
		}
	}
	s := open(t, "spdy", address, streams{config: known})
	if code := s.end(); code != 0 || s.out.String() != "hello\n" {
		t.Errorf("code %d, %q", code, s.out)
	}
}

// A rotated certificate is served from the next connection on; files in the middle of a change leave the last good one.
func TestStreamTlsCertificateChanges(t *testing.T) {
	a := newAuthority(t)
	h, certificate, key := secure(t, a, "")
	reply, err := h.Raw.PortForward(context.Background(), &v1.PortForwardRequest{PodSandboxId: h.Pod().ID})
	if err != nil {
		t.Fatal(err)
	}
	target, _ := url.Parse(reply.Url)
	name := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", target.Host, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	want := func(text string) {
		t.Helper()
		if got := name(); got != text {
			t.Errorf("the certificate is %q's, not %q's", got, text)
		}
	}
	want("crisp")
	c, k := a.sign(t, "rotated")
	write(t, certificate, c)
	want("crisp") // its key has not come yet
	write(t, key, k)
	want("rotated")
	write(t, certificate, []byte("nonsense"))
	want("rotated")
	os.Remove(key)
	want("rotated")
}

func TestStreamTlsBadFiles(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	a := newAuthority(t)
	dir := t.TempDir()
	c, goodKeyText := a.sign(t, "crisp")
	_, other := a.sign(t, "other")
	good, goodKey := write(t, dir+"/good.crt", c), write(t, dir+"/good.key", goodKeyText)
	bad := write(t, dir+"/bad.pem", []byte("nonsense\n"))
	wrong := write(t, dir+"/wrong.key", other)
	plain, _ := pem.Decode(goodKeyText)
	withPassword, err := x509.EncryptPEMBlock(rand.Reader, plain.Type, plain.Bytes, []byte("secret"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	locked := write(t, dir+"/locked.key", pem.EncodeToMemory(withPassword)) // nobody is there to ask for it
	for i, row := range []struct{ certificate, key, ca, file, reason string }{
		{dir + "/no.crt", goodKey, "", dir + "/no.crt", "No such file"},
		{bad, goodKey, "", bad, "no start line"},
		{good, dir + "/no.key", "", dir + "/no.key", "No such file"},
		{good, bad, "", bad, ""},
		{good, wrong, "", wrong, "key values mismatch"},
		{good, locked, "", locked, ""},
		{good, goodKey, dir + "/no.ca", dir + "/no.ca", "No such file"},
		{good, goodKey, bad, bad, ""},
	} {
		config := fmt.Sprintf("[streaming]\ntls_certificate = %q\ntls_key = %q\n", row.certificate, row.key)
		if row.ca != "" {
			config += fmt.Sprintf("tls_client_ca = %q\n", row.ca)
		}
		h := host.Start(t, host.Options{Folder: fmt.Sprint("crisp", i), Config: config, SkipReady: true, NoLeak: true})
		if code := h.WaitDaemonEnd(); code == 0 {
			t.Errorf("%s: the daemon ended with 0", row.file)
		}
		log, _ := os.ReadFile(h.LogFile)
		if !strings.Contains(string(log), "streaming.tls_") || !strings.Contains(string(log), row.file) || !strings.Contains(string(log), row.reason) {
			t.Errorf("%s, %q: the log has %s", row.file, row.reason, log)
		}
	}
}
