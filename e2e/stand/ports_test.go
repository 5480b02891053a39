package stand

import "testing"

// TestPortsThatAreLetGo sees that a port that is let go for a program to take is given to
// nobody else while that starts.
func TestPortsThatAreLetGo(t *testing.T) {
	seen := map[int]bool{}
	for range blockSize / 2 {
		listener, port, err := holdPort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Errorf("%d came twice", port)
		}
		seen[port] = true
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := ownBlock()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := listen(b.first - 1); err == nil {
		_ = again.Close()
		t.Error("another process could have the same block")
	}
}
