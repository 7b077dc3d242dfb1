package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sideBySide is how many proofs are tried beside each other: most of a proof is waiting.
const sideBySide = 32

// result is what became of a proof.
type result struct {
	name     string
	failures []failure
	looked   map[string]bool
}

// tryAll runs jobs beside each other and gives their results in order.
func tryAll(jobs []func() result) []result {
	results := make([]result, len(jobs))
	slots := make(chan struct{}, sideBySide)
	var wg sync.WaitGroup
	for i, job := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = job()
		})
	}
	wg.Wait()
	return results
}

// programs are the two ways in which the program is served.
type programs struct{ plain, secured *program }

func serveBoth(t *testing.T, store string) programs {
	return programs{plain(t, store), secured(t, store)}
}

func (p programs) of(proof proof) *program {
	if proof.secured {
		return p.secured
	}
	return p.plain
}

// TestConformance: every row that is seen from outside holds, on either store. On one of them everything goes through a
// proxy that breaks nothing, which shows that the proxy itself does not make a proof red.
func TestConformance(t *testing.T) {
	for store := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			on := serveBoth(t, store)
			var jobs []func() result
			for _, p := range proofs {
				jobs = append(jobs, func() result {
					var via *proxy
					if store == "sqlite" {
						via = &proxy{}
						defer via.close()
					}
					failures, looked := p.try(on.of(p), via)
					return result{p.name, failures, looked}
				})
			}
			for i, r := range tryAll(jobs) {
				t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
					for _, f := range r.failures {
						t.Error(f)
					}
					for _, row := range strings.Fields(proofs[i].rows) {
						if !r.looked[row] && len(r.failures) == 0 {
							t.Errorf("%s is to be proven here, and nobody looks", row)
						}
					}
				})
			}
		})
	}
}

// TestBroken: through a proxy that breaks one row the proof of that row turns red, and says that it is that row.
func TestBroken(t *testing.T) {
	t.Parallel()
	on := serveBoth(t, "sqlite")
	var jobs []func() result
	for _, b := range breaks {
		i := slices.IndexFunc(proofs, func(p proof) bool {
			return (b.in == "" || b.in == p.name) && slices.Contains(strings.Fields(p.rows), b.row)
		})
		if i < 0 {
			t.Errorf("%s is broken, and no proof %s names it", b.row, b.in)
			continue
		}
		jobs = append(jobs, func() result {
			via := &proxy{breaker: b.by, oldTLS: b.oldTLS, blind: b.blind}
			defer via.close()
			failures, looked := proofs[i].try(on.of(proofs[i]), via)
			return result{fmt.Sprintf("%s %s", b.row, b.how), failures, looked}
		})
	}
	for _, r := range tryAll(jobs) {
		row, how, _ := strings.Cut(r.name, " ")
		if !slices.ContainsFunc(r.failures, func(f failure) bool { return f.row == row }) {
			t.Errorf("%s is broken (%s), and its proof stays green: %v", row, how, r.failures)
		}
	}
}

// TestRows: each row of the standards is proven here, or it is said why not; and each proof can turn red.
func TestRows(t *testing.T) {
	proven := map[string]bool{}
	for _, p := range proofs {
		for _, row := range strings.Fields(p.rows) {
			proven[row] = true
			if clauses[row] == "" {
				t.Errorf("%s names %s, of which nothing is known", p.name, row)
			}
		}
	}
	broken := map[string]bool{}
	for _, b := range breaks {
		broken[b.row] = true
	}
	for row := range clauses {
		_, hidden := elsewhere[row]
		_, left := notDone[row]
		n := 0
		for _, yes := range []bool{proven[row], hidden, left} {
			if yes {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s (%s): proven %t, proven elsewhere %t, not done %t", row, clauses[row], proven[row], hidden, left)
		}
		if proven[row] && !broken[row] {
			t.Errorf("%s is proven, and nobody saw the proof turn red", row)
		}
	}
	t.Logf("%d rows: %d proven from outside, %d elsewhere, %d not done; %d ways to break them", len(clauses), len(proven), len(elsewhere), len(notDone), len(breaks))
}
