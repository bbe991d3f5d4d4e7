package security

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2021-30465: a container turns the place of another one's mount into a link and back while that one starts. Its mount
// lands in its own tree, or the start fails; the host's tree never shows.
func TestS01MountTargetRace(t *testing.T) {
	h := host.Start(t, host.Options{})
	volume, data := h.Folder+"/volume", h.Folder+"/data"
	for _, dir := range []string{volume, data} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(data+"/mine", nil, 0o644)
	canary := h.Folder + "/host-canary"
	os.WriteFile(canary, nil, 0o644)
	share := &v1.Mount{HostPath: volume, ContainerPath: "/vol"}
	pod := h.Pod()
	attacker := h.Run(pod, []string{"sh", "-c", "cd /vol; mkdir dir; ln -s / link; while :; do mv dir target; mv target dir; mv link target; mv target link; done"},
		func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{share} })
	correct := 0
	for i := 0; i < 60; i++ {
		out, err := outcome(h, pod, h.ContainerConfig([]string{"sh", "-c", "ls /vol/target; test -e " + canary + " && echo HOST; ls -d /*"},
			func(c *v1.ContainerConfig) {
				c.Mounts = []*v1.Mount{share, {HostPath: data, ContainerPath: "/vol/target"}}
			}))
		if strings.Contains(out, "HOST") {
			t.Fatalf("start %d sees the host: %q", i, out)
		}
		if err == nil && strings.Contains(out, "mine") {
			correct++
		}
	}
	if h.Status(attacker).State != v1.ContainerState_CONTAINER_RUNNING {
		t.Error("the attacker did not run all the time")
	}
	t.Logf("%d of 60 had their mount in place", correct)
}

// S65: the kubelet's own links on the host are followed, once: whatever happens to the link, the mount is one of its two targets.
func TestS65HostPathLinkRace(t *testing.T) {
	h := host.Start(t, host.Options{})
	for _, side := range []string{"left", "right"} {
		if err := os.MkdirAll(h.Folder+"/"+side, 0o755); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(h.Folder+"/"+side+"/side", []byte(side), 0o644)
	}
	link := h.Folder + "/link"
	os.Symlink(h.Folder+"/left", link)
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			os.Symlink(h.Folder+"/"+[]string{"left", "right"}[i%2], link+".new")
			os.Rename(link+".new", link)
		}
	}()
	pod := h.Pod()
	for i := 0; i < 30; i++ {
		out, err := outcome(h, pod, h.ContainerConfig([]string{"cat", "/data/side"}, func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{HostPath: link, ContainerPath: "/data"}}
		}))
		if err != nil || (out != "left" && out != "right") {
			t.Errorf("start %d: %q, %v", i, out, err)
		}
	}
	close(stop)
	<-stopped
}
