// Package tools pins one program: Pin the Pulumi command line; see tools/pulumi_cli.py.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
