// Package lifecycle drives a whole crisp through stops, execs, hangs and runtime handlers, one test per behaviour.
package lifecycle

import (
	"os"
	"testing"

	"crisp.test/tests/system/node"
)

func TestMain(m *testing.M) {
	node.Enter() // from here on: inside the private node
	os.Exit(m.Run())
}
