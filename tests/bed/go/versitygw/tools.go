//go:build tools

// Pins versitygw, an S3 server over a plain folder. A go.sum of our own holds what it is built from.
package versitygw

import _ "github.com/versity/versitygw/cmd/versitygw"
