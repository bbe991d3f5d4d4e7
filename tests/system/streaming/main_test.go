// Package streaming drives exec, attach and port-forward with the client libraries that kubectl and crictl use.
package streaming

import (
	"os"
	"testing"

	"crisp.test/tests/system/node"
)

func TestMain(m *testing.M) {
	node.Enter() // from here on: inside the private node
	os.Exit(m.Run())
}
