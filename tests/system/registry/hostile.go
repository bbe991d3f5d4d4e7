package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Scripted is a registry that serves exactly the bytes it is given, right or wrong.
type Scripted struct {
	Address string
	server  *httptest.Server

	mu        sync.Mutex
	manifests map[string]document // "repo:tag" and "repo@digest"
	blobs     map[string]blob
	requests  []string
}

type document struct {
	mediaType string
	body      []byte
}

type blob struct {
	body []byte
	cut  int // bytes left out at the end; Content-Length still promises all
}

// NewScripted starts one on loopback. Close it at the end.
func NewScripted() *Scripted {
	s := &Scripted{manifests: map[string]document{}, blobs: map[string]blob{}}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	s.Address = strings.TrimPrefix(s.server.URL, "http://")
	return s
}

func (s *Scripted) Close() { s.server.Close() }

// Add serves an image under a tag and its digest.
func (s *Scripted) Add(repo, tag string, image *Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := document{image.MediaType, image.Manifest}
	s.manifests[repo+":"+tag], s.manifests[repo+":"+image.Digest()] = doc, doc
	s.blobs[Digest(image.Config)] = blob{body: image.Config}
	for _, layer := range image.Layers {
		s.blobs[Digest(layer.Packed)] = blob{body: layer.Packed}
	}
}

// SetManifest serves other bytes under a tag or digest, SetBlob other bytes for a digest (the last `cut` withheld).
func (s *Scripted) SetManifest(repo, tag, mediaType string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manifests[repo+":"+tag] = document{mediaType, body}
}

func (s *Scripted) SetBlob(digest string, body []byte, cut int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[digest] = blob{body, cut}
}

// Requests counts those whose path holds the text.
func (s *Scripted) Requests(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for _, path := range s.requests {
		if strings.Contains(path, text) {
			count++
		}
	}
	return count
}

func (s *Scripted) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if repo, tag, ok := strings.Cut(path, "/manifests/"); ok {
		s.serveManifest(w, r, repo+":"+tag)
	} else if _, digest, ok := strings.Cut(path, "/blobs/"); ok {
		s.serveBlob(w, r, digest)
	} else {
		w.WriteHeader(http.StatusOK)
	}
}

func (s *Scripted) serveManifest(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	doc, ok := s.manifests[name]
	s.mu.Unlock()
	if !ok {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", doc.mediaType)
	w.Header().Set("Content-Length", fmt.Sprint(len(doc.body)))
	w.Header().Set("Docker-Content-Digest", Digest(doc.body))
	if r.Method != http.MethodHead {
		w.Write(doc.body)
	}
}

func (s *Scripted) serveBlob(w http.ResponseWriter, r *http.Request, digest string) {
	s.mu.Lock()
	b, ok := s.blobs[digest]
	s.mu.Unlock()
	if !ok {
		http.Error(w, `{"errors":[{"code":"BLOB_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(b.body)))
	if r.Method != http.MethodHead {
		w.Write(b.body[:len(b.body)-b.cut])
	}
}
