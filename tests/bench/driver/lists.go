package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What the kubelet and monitoring ask again and again, in the order in which it is printed.
var listCalls = []string{"ListPodSandbox", "ListContainers", "ContainerStatus", "ListContainerStats", "ListPodSandboxStats",
	"ListPodSandboxMetrics"}

// measureLists holds pods of one container each on all targets, and times the lists over them in turn, so that all see the
// same minute of the machine. A target that does not have a call shows 0.
func measureLists(pods, n int, targets []*target) error {
	results := make([]times, len(targets))
	held := make([][]*pod, len(targets))
	defer func() {
		for i, t := range targets {
			for _, p := range held[i] {
				t.end(p, times{})
			}
		}
	}()
	for i, t := range targets {
		results[i] = times{}
		for range pods {
			p, err := t.start(times{})
			if err != nil {
				return fmt.Errorf("%s: %w", t.endpoint, err)
			}
			held[i] = append(held[i], p)
		}
	}
	for round := range n + 2 { // two to warm up: what is opened once, and the first size of each layer
		for i, t := range targets {
			into := results[i]
			if round < 2 {
				into = times{}
			}
			if err := t.lists(held[i][round%pods].container, into); err != nil {
				return fmt.Errorf("%s: %w", t.endpoint, err)
			}
		}
	}
	fmt.Printf("\nlists with %d pods of one container; ", pods)
	printTable(listCalls, 1, n, results)
	for i, t := range targets {
		fmt.Printf("%s: descriptors of the daemon: %d\n", letter(i), t.descriptors())
	}
	return nil
}

func (t *target) lists(container string, into times) error {
	steps := map[string]func(context.Context) error{
		"ListPodSandbox": func(ctx context.Context) error {
			_, err := t.runtime.ListPodSandbox(ctx, &v1.ListPodSandboxRequest{})
			return err
		},
		"ListContainers": func(ctx context.Context) error {
			_, err := t.runtime.ListContainers(ctx, &v1.ListContainersRequest{})
			return err
		},
		"ContainerStatus": func(ctx context.Context) error {
			_, err := t.runtime.ContainerStatus(ctx, &v1.ContainerStatusRequest{ContainerId: container})
			return err
		},
		"ListContainerStats": func(ctx context.Context) error {
			_, err := t.runtime.ListContainerStats(ctx, &v1.ListContainerStatsRequest{})
			return err
		},
		"ListPodSandboxStats": func(ctx context.Context) error {
			_, err := t.runtime.ListPodSandboxStats(ctx, &v1.ListPodSandboxStatsRequest{})
			return err
		},
		"ListPodSandboxMetrics": func(ctx context.Context) error {
			_, err := t.runtime.ListPodSandboxMetrics(ctx, &v1.ListPodSandboxMetricsRequest{})
			return err
		},
	}
	for _, name := range listCalls {
		if t.lacks[name] {
			continue
		}
		if err := timed(into, name, steps[name]); err != nil {
			if !unimplemented(err) {
				return err
			}
			t.lacks[name] = true
		}
	}
	return nil
}

func (t *target) descriptors() int {
	count := 0
	for _, pid := range t.processIDs() {
		comm, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if name := string(comm); name == "crispd\n" || name == "containerd\n" {
			open, _ := os.ReadDir(filepath.Join("/proc", pid, "fd"))
			count += len(open)
		}
	}
	return count
}
