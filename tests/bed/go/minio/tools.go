//go:build tools

// Pins the last open version of MinIO (AGPL-3.0: a program that tests start, nothing of it is linked or shipped).
package minio

import _ "github.com/minio/minio"
