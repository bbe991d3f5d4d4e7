// The benchmark's driver: times the calls of full pod cycles on a CRI socket, alternating with a second one if asked.
// Usage: see tests/bench/cri.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Calls in the order of a cycle; "pod start" is the sum of the first three.
var calls = []string{"RunPodSandbox", "CreateContainer", "StartContainer", "pod start", "ExecSync",
	"StopContainer", "RemoveContainer", "StopPodSandbox", "RemovePodSandbox", "full cycle"}

type settings struct {
	n, memoryPods, streamMiB, execs, listPods int
	workers                                   []int
	pull                                      bool
	settle                                    time.Duration
}

func main() {
	a, b := &target{}, &target{}
	s := settings{}
	flag.StringVar(&a.endpoint, "endpoint", "unix:///run/crisp/crisp.sock", "the socket to drive")
	flag.StringVar(&a.image, "image", "crisp.local/busybox:latest", "image of the containers")
	flag.StringVar(&a.processes, "pid-names", "crispd,crisp-keeper", "programs whose memory counts")
	flag.StringVar(&a.pids, "pids", "", "process ids whose memory counts, instead of --pid-names")
	flag.StringVar(&b.endpoint, "compare", "", "a second socket, driven in turn with the first")
	flag.StringVar(&b.image, "compare-image", "", "image on the second socket; the same if empty")
	flag.StringVar(&b.processes, "compare-pid-names", "containerd,containerd-shim", "programs whose memory counts there")
	flag.StringVar(&b.pids, "compare-pids", "", "process ids whose memory counts there")
	flag.DurationVar(&s.settle, "settle", 0, "pause before each round, for what the other runtime left to the kernel's background")
	flag.IntVar(&s.n, "n", 100, "cycles for each count of workers")
	workers := flag.String("workers", "1,10", "how many pods at a time")
	flag.IntVar(&s.memoryPods, "memory-pods", 50, "pods held at once to measure memory; 0 = not measured")
	flag.IntVar(&s.streamMiB, "stream-mib", 0, "MiB through exec and port-forward of the streaming server; 0 = not measured")
	flag.IntVar(&s.execs, "stream-execs", 50, "how often exec true through the streaming server, with --stream-mib")
	flag.IntVar(&s.listPods, "list-pods", 0, "pods held at once to time lists and statistics over them; 0 = not measured")
	flag.BoolVar(&s.pull, "pull", false, "pull the image first")
	flag.Parse()
	for _, word := range strings.Split(*workers, ",") {
		count, err := strconv.Atoi(word)
		if err != nil || count < 1 {
			fail(fmt.Errorf("--workers: %q is no count", word))
		}
		s.workers = append(s.workers, count)
	}
	targets := []*target{a}
	if b.endpoint != "" {
		if b.image == "" {
			b.image = a.image
		}
		targets = append(targets, b)
	}
	if err := bench(s, targets); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func bench(s settings, targets []*target) error {
	for i, t := range targets {
		defer t.close()
		if err := t.open(fmt.Sprintf("bench%d", i), s.pull); err != nil {
			return fmt.Errorf("%s: %w", t.endpoint, err)
		}
		if err := t.cycle(times{}); err != nil { // warm up: caches, bridge, first link of everything
			return fmt.Errorf("%s: %w", t.endpoint, err)
		}
		idle := t.memory()
		fmt.Printf("%s: %s, image %s, idle %.1f MB PSS (%s)\n", letter(i), t.version, t.image, float64(idle.pssKB)/1000, idle.text)
	}
	for _, workers := range s.workers {
		results, err := alternate(s, workers, targets)
		if err != nil {
			return err
		}
		printTimes(workers, s.n, results)
	}
	if s.streamMiB > 0 {
		if err := benchStreams(s.streamMiB, s.execs, targets); err != nil {
			return err
		}
	}
	if s.listPods > 0 {
		if err := measureLists(s.listPods, s.n, targets); err != nil {
			return err
		}
	}
	if s.memoryPods > 0 {
		return measureMemory(s.memoryPods, targets)
	}
	return nil
}

// alternate runs s.n cycles on each target, `workers` at a time, in turn: both see the same minute of the machine.
func alternate(s settings, workers int, targets []*target) ([]times, error) {
	results := make([]times, len(targets))
	for i := range results {
		results[i] = times{}
	}
	for done := 0; done < s.n; done += workers {
		for i, t := range targets {
			time.Sleep(s.settle)
			if err := round(t, min(workers, s.n-done), results[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", t.endpoint, err)
			}
		}
	}
	return results, nil
}

func round(t *target, workers int, into times) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			mine := times{}
			err := t.cycle(mine)
			mu.Lock()
			defer mu.Unlock()
			into.add(mine)
			if err != nil && first == nil {
				first = err
			}
		}()
	}
	wg.Wait()
	return first
}
