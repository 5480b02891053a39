package docs

import (
	"regexp"
	"testing"

	"github.com/traefik-reauth/reauth/e2e/release"
	"github.com/traefik-reauth/reauth/e2e/stand"
)

// TestPinsAgree holds what users are told to copy to the changelog, between
// releases too. Where a version stands that is not found to be a pin, a release
// would leave the old one.
func TestPinsAgree(t *testing.T) {
	newest, err := release.Newest(stand.Project())
	if err != nil {
		t.Fatal(err)
	}
	pins, err := release.Pins(stand.Project())
	if err != nil {
		t.Fatal(err)
	}
	pinned := map[string]int{}
	for _, pin := range pins {
		pinned[pin.File]++
		if pin.Version != newest {
			t.Errorf("%s pins %s, the changelog is at %s", pin.File, pin.Version, newest)
		}
	}
	version := regexp.MustCompile(`\bv?` + regexp.QuoteMeta(newest[1:]) + `\b`)
	for _, name := range append(exampleFiles(t), "README.md") {
		if said := len(version.FindAllString(source(t, name), -1)); said != pinned[name] {
			t.Errorf("%s says %s %d times, and %d are found to be pins", name, newest, said, pinned[name])
		}
	}
	if len(pinned) < 2 {
		t.Errorf("pinned are only %v", pins)
	}
}
