package security

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2021-30465: somebody turns the place of a container's mount into a link and back while it starts. The mount lands in the
// container's own tree, or the start fails; the host's tree never shows.
func TestS01MountTargetRace(t *testing.T) {
	h := host.Start(t, host.Options{})
	volume, data := h.Folder+"/volume", h.Folder+"/data"
	for _, dir := range []string{volume + "/dir", data} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(data+"/mine", nil, 0o644)
	canary := h.Folder + "/host-canary"
	os.WriteFile(canary, nil, 0o644)
	pod := h.Pod()
	mounts := []*v1.Mount{{HostPath: volume, ContainerPath: "/vol"}, {HostPath: data, ContainerPath: "/vol/target"}}
	script := "ls /vol/target; test -e " + canary + " && echo HOST; grep -q '" + data + " ' /proc/self/mountinfo && echo INSIDE"
	start := func(what string, inside bool) {
		correct := 0
		for i := 0; i < 30; i++ {
			out, err := outcome(h, pod, h.ContainerConfig([]string{"sh", "-c", script}, func(c *v1.ContainerConfig) { c.Mounts = mounts }))
			if strings.Contains(out, "HOST") {
				t.Fatalf("%s, start %d sees the host: %q", what, i, out)
			}
			if err == nil && inside && !strings.Contains(out, "INSIDE") {
				t.Errorf("%s, start %d: the mount went elsewhere: %q", what, i, out)
			}
			if strings.Contains(out, "mine") {
				correct++
			}
		}
		t.Logf("%s: %d of 30 had their mount in place", what, correct)
	}

	// A directory that is renamed over takes the mount on it along, so where the mount went is not asked here.
	attacker := h.Run(pod, []string{"sh", "-c", "cd /vol; ln -s / link; while :; do mv dir target; mv target dir; mv link target; mv target link; done"},
		func(c *v1.ContainerConfig) { c.Mounts = mounts[:1] })
	start("directory and link", false)
	if h.Status(attacker).State != v1.ContainerState_CONTAINER_RUNNING {
		t.Error("the attacker did not run all the time")
	}
	h.RemoveContainer(attacker)

	os.RemoveAll(volume + "/target")
	os.MkdirAll(volume+"/real", 0o777)
	stop := flip(volume+"/target", "/", "real")
	start("two links", true)
	stop()
}

// flip makes a link point to one and the other in turn, as fast as it can, until it is told to stop.
func flip(link string, targets ...string) (stop func()) {
	os.Symlink(targets[0], link)
	end, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			os.Symlink(targets[i%len(targets)], link+".new")
			os.Rename(link+".new", link)
		}
	}()
	return func() {
		close(end)
		<-ended
	}
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
	stop := flip(link, h.Folder+"/left", h.Folder+"/right")
	pod := h.Pod()
	for i := 0; i < 30; i++ {
		out, err := outcome(h, pod, h.ContainerConfig([]string{"cat", "/data/side"}, func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{HostPath: link, ContainerPath: "/data"}}
		}))
		if err != nil || (out != "left" && out != "right") {
			t.Errorf("start %d: %q, %v", i, out, err)
		}
	}
	stop()
}
