package system

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// The names that the conformance suite expects of Kubernetes 1.37.
const metricNames = `container_blkio_device_usage_total container_cpu_cfs_periods_total container_cpu_cfs_throttled_periods_total
container_cpu_cfs_throttled_seconds_total container_cpu_system_seconds_total container_cpu_usage_seconds_total container_cpu_user_seconds_total
container_file_descriptors container_fs_inodes_free container_fs_inodes_total container_fs_limit_bytes container_fs_reads_bytes_total
container_fs_reads_total container_fs_usage_bytes container_fs_writes_bytes_total container_fs_writes_total container_hugetlb_max_usage_bytes
container_hugetlb_usage_bytes container_last_seen container_memory_cache container_memory_failcnt container_memory_failures_total
container_memory_kernel_usage container_memory_mapped_file container_memory_max_usage_bytes container_memory_rss container_memory_swap
container_memory_usage_bytes container_memory_working_set_bytes container_network_receive_bytes_total container_network_receive_errors_total
container_network_receive_packets_dropped_total container_network_receive_packets_total container_network_transmit_bytes_total
container_network_transmit_errors_total container_network_transmit_packets_dropped_total container_network_transmit_packets_total
container_oom_events_total container_pressure_cpu_stalled_seconds_total container_pressure_cpu_waiting_seconds_total
container_pressure_io_stalled_seconds_total container_pressure_io_waiting_seconds_total container_pressure_memory_stalled_seconds_total
container_pressure_memory_waiting_seconds_total container_processes container_sockets container_spec_cpu_period container_spec_cpu_quota
container_spec_cpu_shares container_spec_memory_limit_bytes container_spec_memory_reservation_limit_bytes container_spec_memory_swap_limit_bytes
container_start_time_seconds container_threads container_threads_max container_ulimits_soft`

// metric is one value with its labels by name.
type metric struct {
	kind   v1.MetricType
	labels map[string]string
	value  uint64
}

// metricsOf gives a pod's metrics by name, the container's or (container "") the pod's own.
func metricsOf(h *host.Host, pod, container string) map[string][]metric {
	h.Helper()
	keys := map[string][]string{}
	descriptors, err := h.Runtime.ListMetricDescriptors(context.Background())
	if err != nil {
		h.Fatalf("ListMetricDescriptors: %v", err)
	}
	for _, d := range descriptors {
		keys[d.Name] = d.LabelKeys
	}
	pods, err := h.Runtime.ListPodSandboxMetrics(context.Background())
	if err != nil {
		h.Fatalf("ListPodSandboxMetrics: %v", err)
	}
	result := map[string][]metric{}
	add := func(all []*v1.Metric) {
		for _, m := range all {
			if len(keys[m.Name]) != len(m.LabelValues) {
				h.Errorf("%s has the labels %q, its descriptor %q", m.Name, m.LabelValues, keys[m.Name])
				continue
			}
			labels := map[string]string{}
			for i, key := range keys[m.Name] {
				labels[key] = m.LabelValues[i]
			}
			if m.Timestamp != 0 {
				h.Errorf("%s is live but has a time", m.Name)
			}
			result[m.Name] = append(result[m.Name], metric{m.MetricType, labels, m.GetValue().GetValue()})
		}
	}
	for _, p := range pods {
		if p.PodSandboxId != pod {
			continue
		}
		if container == "" {
			add(p.Metrics)
		}
		for _, c := range p.ContainerMetrics {
			if c.ContainerId == container {
				add(c.Metrics)
			}
		}
	}
	return result
}

// All names have help and labels, and the six that dashboards join by.
func TestMetricDescriptors(t *testing.T) {
	h := host.Start(t, host.Options{})
	descriptors, err := h.Runtime.ListMetricDescriptors(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, name := range strings.Fields(metricNames) {
		missing[name] = true
	}
	for _, d := range descriptors {
		if !missing[d.Name] {
			t.Errorf("%s is unknown or came twice", d.Name)
		}
		delete(missing, d.Name)
		if d.Help == "" || !strings.HasPrefix(strings.Join(d.LabelKeys, ","), "pod,namespace,container,id,image,name") {
			t.Errorf("%s: help %q, labels %q", d.Name, d.Help, d.LabelKeys)
		}
	}
	if len(descriptors) != 56 || len(missing) != 0 {
		t.Errorf("%d descriptors; missing: %v", len(descriptors), missing)
	}
}

// Every name has a value for a container with limits, and the values are those of the container.
func TestPodSandboxMetrics(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	begin := uint64(time.Now().Unix())
	id := runBusy(h, pod)
	h.Sleeper(pod)
	container, own := metricsOf(h, pod.ID, id), metricsOf(h, pod.ID, "")
	for _, name := range strings.Fields(metricNames) {
		if len(container[name]) == 0 && len(own[name]) == 0 {
			t.Errorf("no value for %s", name)
		}
	}
	one := func(name string) uint64 {
		if len(container[name]) != 1 {
			t.Errorf("%s has %d values", name, len(container[name]))
			return 0
		}
		return container[name][0].value
	}
	for name, want := range map[string][2]uint64{
		"container_spec_cpu_period":              {100000, 100000},
		"container_spec_cpu_quota":               {200000, 200000},
		"container_spec_cpu_shares":              {1024, 1024},
		"container_spec_memory_limit_bytes":      {64 << 20, 64 << 20},
		"container_spec_memory_swap_limit_bytes": {64 << 20, 64 << 20},
		"container_memory_usage_bytes":           {1 << 16, 64 << 20},
		"container_memory_working_set_bytes":     {1, 64 << 20},
		"container_memory_max_usage_bytes":       {1 << 16, 64 << 20},
		"container_processes":                    {1, 2},
		"container_threads":                      {1, 2},
		"container_file_descriptors":             {3, 40},
		"container_ulimits_soft":                 {1, 1 << 30},
		"container_fs_usage_bytes":               {1 << 20, 2 << 20},
		"container_fs_limit_bytes":               {1 << 20, 1 << 60},
		"container_start_time_seconds":           {begin - 1, begin + 120},
		"container_last_seen":                    {begin, begin + 120},
		"container_oom_events_total":             {0, 0},
		"container_cpu_usage_seconds_total":      {0, 60},
	} {
		if got := one(name); got < want[0] || got > want[1] {
			t.Errorf("%s is %d, want %d to %d", name, got, want[0], want[1])
		}
	}
	kinds := map[string]bool{}
	for _, m := range container["container_memory_failures_total"] {
		kinds[m.labels["failure_type"]+" "+m.labels["scope"]] = true
		if m.kind != v1.MetricType_COUNTER {
			t.Error("page faults are no counter")
		}
	}
	if len(kinds) != 4 {
		t.Errorf("page faults by %v", kinds)
	}
	labels := container["container_memory_rss"][0].labels
	for key, want := range map[string]string{"pod": pod.Config.Metadata.Name, "namespace": "default", "container": h.Status(id).Metadata.Name,
		"image": h.Image, "name": id} {
		if labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, labels[key], want)
		}
	}
	if !strings.Contains(labels["id"], id) { // with systemd a group below the scope
		t.Errorf("label id is %q", labels["id"])
	}
	for _, m := range own["container_network_receive_bytes_total"] {
		if m.labels["interface"] != "eth0" || m.labels["pod"] != pod.Config.Metadata.Name {
			t.Errorf("network of %v", m.labels)
		}
	}
}

// An OOM kill and open descriptors are counted.
func TestMetricsFollowTheContainer(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"sh", "-c", "sh -c 'exec 5</etc/passwd 6</etc/passwd 7</etc/passwd; sleep 1000' & wait"})
	waitFor(h, "the descriptors to be counted", func() bool {
		m := metricsOf(h, pod.ID, id)
		return m["container_processes"][0].value == 2 && m["container_file_descriptors"][0].value >= 9
	})
	hog := h.Run(pod, []string{"sh", "-c", "dd if=/dev/zero of=/dev/null bs=40M count=1; sleep 1000"}, limited, func(c *v1.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes, c.Linux.Resources.MemorySwapLimitInBytes = 16<<20, 16<<20
	})
	waitFor(h, "an OOM kill", func() bool {
		m := metricsOf(h, pod.ID, hog)
		return len(m["container_oom_events_total"]) == 1 && m["container_oom_events_total"][0].value > 0
	})
	if m := metricsOf(h, pod.ID, "no such container"); len(m) != 0 {
		t.Errorf("metrics of nobody: %v", m)
	}
}
