// Package tools pins one program: the S3 server of the tests, see tests/integration/bucket.py.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
