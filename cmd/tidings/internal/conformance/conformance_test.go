package conformance

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// sideBySide is how many proofs are tried beside each other: most of a proof is waiting.
const sideBySide = 24

// job is a proof to be tried.
type job struct {
	proof
	broken *fracture
}

// result is what became of a proof.
type result struct {
	job
	failures []failure
	looked   map[string]bool
}

// tryAll tries proofs beside each other, those first in which time has to pass.
func (on programs) tryAll(proxied bool, jobs []job) []result {
	slices.SortStableFunc(jobs, func(a, b job) int {
		return cmp.Compare(b.weight(), a.weight())
	})
	results := make([]result, len(jobs))
	slots := make(chan struct{}, sideBySide)
	var wg sync.WaitGroup
	for i, job := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = job.try(on, proxied)
		})
	}
	wg.Wait()
	return results
}

func (j job) weight() int {
	if j.slow {
		return 1
	}
	return 0
}

func (j job) try(on programs, proxied bool) result {
	var via *proxy
	broken := ""
	if proxied {
		via = &proxy{}
		defer via.end()
	}
	if j.broken != nil {
		via.breaker, via.wire, broken = j.broken.by, j.broken.wire, j.broken.row
	}
	failures, looked := j.proof.try(on.of(j.proof), via, broken)
	return result{j, failures, looked}
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
			var jobs []job
			for _, p := range proofs {
				jobs = append(jobs, job{proof: p})
			}
			for _, r := range on.tryAll(store == "sqlite", jobs) {
				t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
					for _, f := range r.failures {
						t.Error(f)
					}
					for _, row := range strings.Fields(r.rows) {
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
	var jobs []job
	for _, b := range breaks {
		i := slices.IndexFunc(proofs, func(p proof) bool {
			return (b.in == "" || b.in == p.name) && slices.Contains(strings.Fields(p.rows), b.row)
		})
		if i < 0 {
			t.Errorf("%s is broken, and no proof %s names it", b.row, b.in)
			continue
		}
		jobs = append(jobs, job{proof: proofs[i], broken: &b})
	}
	for _, r := range on.tryAll(true, jobs) {
		if !slices.ContainsFunc(r.failures, func(f failure) bool { return f.row == r.broken.row }) {
			t.Errorf("%s is broken (%s), and its proof stays green: %v", r.broken.row, r.broken.how, r.failures)
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
