// Command check tells whether the working tree can be released as the version
// it is given, and how that is done.
package main

import (
	"fmt"
	"os"

	"github.com/traefik-reauth/reauth/e2e/release"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] == "" {
		fmt.Fprintln(os.Stderr, "which version? make release-check VERSION=v1.2.3")
		os.Exit(2)
	}
	version := os.Args[1]
	problems, err := release.Check(stand.Project(), version)
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
	fmt.Printf("%[1]s can be released:\n  git tag -a %[1]s -m %[1]s && git push origin %[1]s\n", version)
}
