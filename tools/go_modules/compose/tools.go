// Package tools pins one program: Pin Docker Compose; see tools/compose.py.
package tools

import _ "github.com/docker/compose/v2/cmd"
