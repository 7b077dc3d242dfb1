package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatch bounds the reports of one transaction, so that the head is not held for long.
	maxBatch = 500
	// commitTime bounds a batch's reading, and its transactions, which are for others too and so outlive the caller.
	commitTime = 30 * time.Second
	// maxRounds bounds how often a report is decided again because its entry changed meanwhile.
	maxRounds = 20
)

// errCutShort: whoever committed for all who wait broke off.
var errCutShort = errors.New("cut short")

// job is one report on its way to the door.
type job struct {
	report Report
	result Result
	rounds int
	// alone: it is decided in an item of its own: it ends its object, so that what comes after it is about another one, or
	// an item that it shared was refused.
	alone bool
	err   error
	// taken is closed when a leader has it, done when it is answered.
	taken, done chan struct{}
}

type queue struct {
	mu   sync.Mutex
	jobs []*job
}

func (q *queue) put(jobs ...*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, jobs...)
}

func (q *queue) take(n int) []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(n, len(q.jobs))
	taken := q.jobs[:n:n]
	q.jobs = q.jobs[n:]
	for _, j := range taken {
		close(j.taken)
	}
	return taken
}

// drop takes those of a call out of the queue that nobody took. They stand there one behind the other.
func (q *queue) drop(jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(jobs, func(j *job) bool { return !over(j.taken) })
	if i < 0 {
		return
	}
	at := slices.Index(q.jobs, jobs[i])
	q.jobs = slices.Delete(q.jobs, at, at+len(jobs)-i)
}

func over(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Ingest compares reports with the stored entries and commits what differs, in the order given. It answers after the
// commit. Callers that come while a transaction runs share the next one: whoever gets through the door first works for
// all who wait. While one batch is committed the next is read and decided, unless they speak of the same objects. Each
// report has its own result; an error means that the call as a whole was cut short, and then the reports without a
// result may or may not have been taken: reporting again is harmless.
func (h *Hub) Ingest(ctx context.Context, reports ...Report) ([]Result, error) {
	jobs := make([]*job, len(reports))
	for i, r := range reports {
		if r.Txn == "" {
			r.Txn = newTxn()
		}
		r.keys = r.folded()
		jobs[i] = &job{report: r, alone: r.Gone, taken: make(chan struct{}), done: make(chan struct{})}
	}
	h.queue.put(jobs...)
	results := make([]Result, len(jobs))
	for i, j := range jobs {
		// The queue is served in order: once the last one is taken, all are.
		if err := h.await(ctx, j, jobs[len(jobs)-1]); err != nil {
			// Whoever came by later would take them, and undo what was reported since.
			h.queue.drop(jobs)
			return results, fmt.Errorf("ingest: %w", err)
		}
		results[i] = j.result
	}
	return results, nil
}

// await waits until the job is done. As long as the last of its call is queued, it leads whenever the door is free.
func (h *Hub) await(ctx context.Context, j, last *job) error {
	for {
		door, taken := h.door, last.taken
		if over(taken) {
			door, taken = nil, nil
		}
		select {
		case <-j.done:
			return j.err
		case <-ctx.Done():
			return ctx.Err()
		case door <- struct{}{}:
			h.lead(ctx)
		case <-taken: // by somebody else: there is nothing left to lead for
		}
	}
}

// flight is a batch that is being committed: nothing about its objects may be decided until it is over.
type flight struct {
	entries map[ID]bool
	keys    map[sourceKey]bool
	over    chan struct{}
}

// lead takes one batch of whatever is queued and decides it, waits for its turn to commit, and opens the door to the
// next leader while the commit goes on. Its own caller's going away must not cut off the others; nor must a panic,
// which one bad report can bring: whatever happens, everybody is answered.
func (h *Hub) lead(ctx context.Context) {
	defer func() { <-h.door }()
	base := context.WithoutCancel(ctx)
	ctx, cancel := context.WithTimeout(base, commitTime)
	defer cancel()
	jobs := h.queue.take(maxBatch)
	handed := false
	err := errCutShort
	defer func() {
		if !handed {
			answer(jobs, err)
		}
	}()
	if len(jobs) == 0 {
		return
	}
	h.landed(jobs, nil)
	v, failed := h.load(ctx, jobs)
	if h.landed(jobs, v) {
		v, failed = h.load(ctx, jobs)
	}
	if failed != nil {
		err = failed
		return
	}
	p := h.plan(v, jobs)
	h.turn <- struct{}{}
	f := v.flight()
	h.flight = f
	handed = true
	go func() {
		defer func() { <-h.turn }()
		defer close(f.over)
		ctx, cancel := context.WithTimeout(base, commitTime)
		defer cancel()
		h.carry(ctx, jobs, p)
	}()
}

// landed waits until what the jobs, or the view that was read for them, speak of is no more in flight, and reports
// whether it was.
func (h *Hub) landed(jobs []*job, v *view) bool {
	if f := h.flight; f != nil && f.meets(jobs, v) {
		<-f.over
		h.flight = nil
		return true
	}
	return false
}

// carry commits a batch, and decides again what has to be, until everybody is answered.
func (h *Hub) carry(ctx context.Context, jobs []*job, p *plan) {
	err := errCutShort
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%w by a panic: %v\n%s", errCutShort, broken, debug.Stack())
		}
		answer(jobs, err)
	}()
	for {
		if failed := h.commit(ctx, p); failed != nil {
			err = failed
			return
		}
		// In the order in which they came: a report of a deleted object is about another one than a report before that.
		if jobs = slices.DeleteFunc(jobs, func(j *job) bool { return over(j.done) }); len(jobs) == 0 {
			return
		}
		v, failed := h.load(ctx, jobs)
		if failed != nil {
			err = failed
			return
		}
		p = h.plan(v, jobs)
	}
}

// answer gives those an error that have no answer yet.
func answer(jobs []*job, err error) {
	for _, j := range jobs {
		if !over(j.done) {
			j.finish(Result{}, err)
		}
	}
}

// flight is what the view speaks of.
func (v *view) flight() *flight {
	f := &flight{entries: map[ID]bool{}, keys: map[sourceKey]bool{}, over: make(chan struct{})}
	for id := range v.byID {
		f.entries[id] = true
	}
	for key := range v.keyed {
		f.keys[key] = true
	}
	return f
}

// meets: the jobs, or the view that was read for them, speak of what is in flight.
func (f *flight) meets(jobs []*job, v *view) bool {
	for _, j := range jobs {
		if !j.report.Entry.IsZero() && f.entries[j.report.Entry] {
			return true
		}
		for _, k := range j.report.keys {
			if f.keys[sourceKey{j.report.Source, k}] {
				return true
			}
		}
	}
	if v == nil {
		return false
	}
	for id := range v.byID {
		if f.entries[id] {
			return true
		}
	}
	return false
}

func (j *job) finish(r Result, err error) {
	j.result, j.err = r, err
	close(j.done)
}

// plan is a batch as it was decided.
type plan struct {
	batch   Batch
	pending []*draft // per item
}

// plan decides the jobs against the entries as they were read. Those that change nothing are answered at once.
func (h *Hub) plan(v *view, jobs []*job) *plan {
	p := &plan{}
	for _, d := range v.decide(jobs, h.now()) {
		if d.write == nil {
			d.finish(nil, 0)
			continue
		}
		h.sealSignals(d)
		it, err := d.item()
		if err != nil {
			answer(d.jobs, fmt.Errorf("encode an entry: %w", err))
			continue
		}
		p.batch.Items = append(p.batch.Items, it)
		p.pending = append(p.pending, d)
	}
	return p
}

// commit takes as many transactions as the plan's items need, and answers those whose item was taken or is refused for
// good. Those whose entry changed meanwhile have to be decided again.
func (h *Hub) commit(ctx context.Context, p *plan) error {
	for len(p.pending) > 0 {
		p.batch.Now = h.now()
		receipt, err := h.store.Commit(ctx, p.batch)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		for i, d := range p.pending[:receipt.Done] {
			if why := receipt.Errors[i]; why != nil {
				d.refused(why)
			} else {
				d.finish(receipt.Entries[i], p.batch.Items[i].first())
			}
		}
		p.pending, p.batch.Items = p.pending[receipt.Done:], p.batch.Items[receipt.Done:]
	}
	return nil
}

// first is the position of the item's first line, as the driver filled it in.
func (it Item) first() int64 {
	if len(it.Lines) == 0 {
		return 0
	}
	return it.Lines[0].Position
}

// refused sorts the jobs of a refused item: a conflict, and a collision that may be a race, are decided again against
// what stands there now; jobs that shared the item go on alone, so that one does not fail for another.
func (d *draft) refused(why error) {
	for _, j := range d.jobs {
		j.rounds++
		retry := errors.Is(why, ErrConflict) || errors.Is(why, ErrTaken) && (j.rounds == 1 || !j.alone && len(d.jobs) > 1)
		if retry && j.rounds < maxRounds {
			j.alone = j.alone || !errors.Is(why, ErrConflict)
		} else {
			j.finish(Result{Err: why}, nil)
		}
	}
}
