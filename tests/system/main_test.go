// Package system drives a whole crisp (daemon, keeper, network, images) from outside, one test per behaviour.
package system

import (
	"os"
	"testing"

	"crisp.test/tests/system/node"
)

func TestMain(m *testing.M) {
	node.Enter() // from here on: inside the private node
	os.Exit(m.Run())
}
