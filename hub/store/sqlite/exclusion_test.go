package sqlite

import "testing"

// A store that was written before persons had identifiers gets them when it is brought up to date.
func TestReidentify(t *testing.T) {
	s := open(t)
	_, a := user(1)
	_, b := user(2)
	commitAll(t, s, a, b)
	var n int
	if err := s.write(t.Context(), "test", func(c *conn) error {
		if err := c.reidentify(); err != nil {
			return err
		}
		return c.value("SELECT count(*) FROM identifier", nil, &n)
	}); err != nil || n != 2 {
		t.Errorf("%d identifiers, %v", n, err)
	}
}
