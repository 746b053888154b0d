package vm

import (
	"errors"
	"slices"
	"testing"
)

func TestModuleName(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"kernel/drivers/net/virtio_net.ko":               "virtio_net",
		"kernel/drivers/char/hw_random/virtio-rng.ko":    "virtio_rng",
		"kernel/drivers/char/hw_random/virtio-rng.ko.xz": "virtio_rng",
	} {
		if got := moduleName(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestDependsIn(t *testing.T) {
	t.Parallel()
	for info, want := range map[string][]string{
		"":                                      nil,
		"license=GPL\x00depends=\x00name=x\x00": nil,
		"license=GPL\x00depends=virtio-ring,b\x00": {"virtio_ring", "b"},
	} {
		if got := dependsIn([]byte(info)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", info, got, want)
		}
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	depends := map[string][]string{
		"net":      {"failover", "virtio"},
		"failover": {"core"},
		"core":     nil,
		"virtio":   {"core", "ring"},
		"ring":     {"virtio"}, // a circle ends
		"builtin":  nil,
	}
	missing := errors.New("missing")
	load := func(name string) (contents []byte, list []string, err error) {
		list, ok := depends[name]
		if !ok {
			return nil, nil, missing
		}
		if name != "builtin" {
			contents = []byte(name)
		}
		return contents, list, nil
	}
	got, err := order([]string{"builtin", "net", "core"}, load)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range got {
		names = append(names, m.Name)
	}
	if want := []string{"core", "failover", "ring", "virtio", "net"}; !slices.Equal(names, want) {
		t.Errorf("order is %q, want %q", names, want)
	}
	if _, err := order([]string{"net", "other"}, load); !errors.Is(err, missing) {
		t.Errorf("error is %v, want %v", err, missing)
	}
}
