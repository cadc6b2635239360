// Package tools pins one program: Pin Pulumi's Python language host; see tools/pulumi_cli.py.
package tools

import _ "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"
