package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory is the resident memory of a runtime's own processes (never the containers').
type memory struct {
	pssKB int
	text  string // "crispd 14.1 MB, crisp-keeper 0.6 MB"
}

func (t *target) memory() memory {
	m := memory{}
	byName := map[string]int{}
	order := []string{}
	for _, pid := range t.processIDs() {
		comm, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err != nil {
			continue
		}
		name := strings.TrimSpace(string(comm))
		if _, seen := byName[name]; !seen {
			order = append(order, name)
		}
		kb := field(filepath.Join("/proc", pid, "smaps_rollup"), "Pss:")
		byName[name] += kb
		m.pssKB += kb
	}
	parts := []string{}
	for _, name := range order {
		parts = append(parts, fmt.Sprintf("%s %.1f MB", name, float64(byName[name])/1000))
	}
	m.text = strings.Join(parts, ", ")
	return m
}

func (t *target) processIDs() []string {
	if t.pids != "" {
		return strings.Split(t.pids, ",")
	}
	found := []string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		comm, err := os.ReadFile(dir + "/comm")
		if err != nil {
			continue
		}
		for _, name := range strings.Split(t.processes, ",") {
			// The kernel keeps 15 characters of a name.
			if got := strings.TrimSpace(string(comm)); got == name || (len(got) == 15 && strings.HasPrefix(name, got)) {
				found = append(found, filepath.Base(dir))
			}
		}
	}
	return found
}

// field reads "Name:  123 kB".
func field(file, name string) int {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if rest, ok := strings.CutPrefix(scan.Text(), name); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// measureMemory holds pods and sees by how much the runtime has grown for each.
func measureMemory(count int, targets []*target) error {
	fmt.Printf("\nmemory with %d pods held\n%-4s %16s %22s\n", count, "", "PSS per pod, kB", "MemAvailable per pod, kB")
	for i, t := range targets {
		before, free := t.memory(), field("/proc/meminfo", "MemAvailable:")
		pods := []*pod{}
		for range count {
			p, err := t.start(times{})
			if err != nil {
				return fmt.Errorf("%s: %w", t.endpoint, err)
			}
			pods = append(pods, p)
		}
		after, left := t.memory(), field("/proc/meminfo", "MemAvailable:")
		fmt.Printf("%-4s %16.1f %22.1f   (%s)\n", letter(i), float64(after.pssKB-before.pssKB)/float64(count),
			float64(free-left)/float64(count), after.text)
		for _, p := range pods {
			if err := t.end(p, times{}); err != nil {
				return fmt.Errorf("%s: %w", t.endpoint, err)
			}
		}
	}
	return nil
}
