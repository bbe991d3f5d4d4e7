// Package leak takes a picture of everything a runtime can leave behind and compares two of them.
package leak

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// Scope says whose traces count. Everything is seen from inside the node.
type Scope struct {
	CgroupRoots []string // first components of cgroup paths, e.g. the node's name
	CgroupDepth int      // components from there on that belong to the client (the pod's parent), not to the runtime
	Folders     []string // root and state folders: no path may carry a removed id
	Ids         []string // ids of removed pods and containers
	Pids        []int    // daemon and keeper: whose fds are counted
	FdSlack     int      // sockets that gRPC may hold more of
}

// Picture maps a kind of thing ("mount /x", "process sleep") to how many there are.
type Picture map[string]int

// Take looks at mounts, network namespaces, links, cgroups, processes, fds and files.
func Take(s Scope) Picture {
	p := Picture{}
	p.mounts(s)
	p.netns()
	p.links()
	p.cgroups(s)
	p.processes()
	p.fds(s)
	p.files(s)
	return p
}

// More lists what `after` has more of than `before`.
func More(before, after Picture, slack int) []string {
	var more []string
	for what, n := range after {
		extra := n - before[what]
		if strings.HasPrefix(what, "fd ") && strings.Contains(what, "socket") {
			extra -= slack
		}
		if extra > 0 {
			more = append(more, fmt.Sprintf("%s (+%d)", what, extra))
		}
	}
	sort.Strings(more)
	return more
}

func (p Picture) mounts(s Scope) {
	seen := map[string]bool{}
	for _, pid := range append([]int{os.Getpid()}, s.Pids...) {
		ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if err != nil || seen[ns] {
			continue
		}
		seen[ns] = true
		forLines(fmt.Sprintf("/proc/%d/mountinfo", pid), func(line string) {
			if f := strings.Fields(line); len(f) > 4 {
				p["mount "+f[4]]++
			}
		})
	}
}

// netns counts the network namespaces that any process lives in or holds open.
func (p Picture) netns() {
	inodes := map[string]bool{}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range append(links, fds...) {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "net:[") {
			inodes[to] = true
		}
	}
	p["network namespaces"] = len(inodes)
}

var linkNumber = regexp.MustCompile(`^(veth|vnet|crisp|cr)[0-9a-zA-Z]{4,}$`)

// links counts host ends of pods; a bridge, once made, stays.
func (p Picture) links() {
	forLines("/proc/net/dev", func(line string) {
		name, _, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "lo" {
			return
		}
		if _, err := os.Stat("/sys/class/net/" + name + "/bridge"); err == nil || strings.HasPrefix(name, "cni") {
			return
		}
		if linkNumber.MatchString(name) {
			name = "veth"
		}
		p["link "+name]++
	})
}

func (p Picture) cgroups(s Scope) {
	hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, h := range append(hierarchies, "/sys/fs/cgroup") {
		for _, root := range s.CgroupRoots {
			filepath.WalkDir(filepath.Join(h, root), func(path string, e fs.DirEntry, err error) error {
				if below := strings.TrimPrefix(path, h+"/"+root); err == nil && e.IsDir() && strings.Count(below, "/") > s.CgroupDepth {
					p["cgroup "+path]++
				}
				return nil
			})
		}
	}
}

func (p Picture) processes() {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		data, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		text := string(data)
		open, shut := strings.Index(text, "("), strings.LastIndex(text, ")")
		if open < 0 || shut < open || shut+2 >= len(text) {
			continue
		}
		if fields := strings.Fields(text[shut+1:]); fields[1] == "2" { // the kernel's own threads, where they can be seen
			continue
		}
		kind := "process "
		if text[shut+2] == 'Z' {
			kind = "zombie "
		}
		if name := text[open+1 : shut]; name != "docker-registry" { // ours, shared by the tests
			p[kind+name]++
		}
	}
}

var digits = regexp.MustCompile(`[0-9]{2,}`)

// fds counts by what they point to, with the numbers taken out.
func (p Picture) fds(s Scope) {
	for i, pid := range s.Pids {
		links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil {
				p["fd "+strconv.Itoa(i)+" "+digits.ReplaceAllString(to, "N")]++
			}
		}
	}
}

// files counts the paths that still carry the id of something removed.
func (p Picture) files(s Scope) {
	for _, folder := range s.Folders {
		filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if e.IsDir() && e.Name() == "layers" {
				return filepath.SkipDir // image layers carry digests, and are many
			}
			for _, id := range s.Ids {
				if len(id) >= 12 && strings.Contains(e.Name(), id[:12]) {
					p["file "+path]++
					return nil
				}
			}
			return nil
		})
	}
}

func forLines(path string, f func(string)) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	scan := bufio.NewScanner(file)
	scan.Buffer(make([]byte, 1<<20), 1<<20)
	for scan.Scan() {
		f(scan.Text())
	}
}
