// Starts crisp and Debian's containerd with runc side by side in a private node and lets the benchmark alternate between
// them. Usage: see tests/bench/run-compare.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/node"
	"crisp.test/tests/system/registry"
)

func main() {
	node.Enter() // from here on: inside the private node
	bin := flag.String("bin", "build/release/bin", "folder with crispd")
	driver := flag.String("driver", "build/bench/cri", "the benchmark's driver")
	alone := flag.String("alone", "", "drive only this one: crisp or containerd")
	flag.Parse()
	if err := compare(*bin, *driver, *alone, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "run-compare:", err)
		os.Exit(1)
	}
}

func compare(bin, driver, alone string, rest []string) error {
	reg, err := registry.Start(filepath.Join(node.Dir(), "registry"))
	if err != nil {
		return err
	}
	image := reg.Address + "/busybox:latest"
	args := []string{"--pull"}
	if alone != "containerd" {
		if err := startCrisp(bin); err != nil {
			return err
		}
		args = append(args, "--endpoint", "unix://"+node.Dir()+"/crisp/crisp.sock", "--image", image)
	}
	if alone != "crisp" {
		if err := startPeer(reg.Address); err != nil {
			return err
		}
		endpoint := "unix://" + node.Dir() + "/peer/crisp.sock"
		if alone == "containerd" {
			args = append(args, "--endpoint", endpoint, "--image", image, "--pid-names", "containerd,containerd-shim")
		} else {
			args = append(args, "--compare", endpoint)
		}
	}
	cmd := exec.Command(driver, append(args, rest...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func startCrisp(bin string) error {
	folder := filepath.Join(node.Dir(), "crisp")
	return launch(folder, filepath.Join(bin, "crispd"), "--root", folder+"/root", "--state", folder+"/state", "--socket", folder+"/crisp.sock")
}

func startPeer(registryAddress string) error {
	folder := filepath.Join(node.Dir(), "peer")
	if err := os.MkdirAll(folder+"/net.d", 0o755); err != nil {
		return err
	}
	conflist := host.PeerNetwork(folder, "cni1", "10.86.0.0/16")
	if err := os.WriteFile(folder+"/net.d/10-peer.conflist", []byte(conflist), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(folder+"/peer.toml", []byte(host.PeerConfig(folder, registryAddress)), 0o644); err != nil {
		return err
	}
	return launch(folder, "containerd", "-c", folder+"/peer.toml")
}

// launch starts a daemon that ends with the node, and waits until its socket takes connections.
func launch(folder string, argv ...string) error {
	if err := os.MkdirAll(folder, 0o711); err != nil {
		return err
	}
	log, err := os.Create(folder + "/log")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", folder+"/crisp.sock")
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(folder + "/log")
			return fmt.Errorf("%s does not answer: %w\n%s", argv[0], err, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
