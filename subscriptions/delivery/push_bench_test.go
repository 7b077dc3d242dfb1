package delivery

import (
	"bytes"
	"context"
	"crypto"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"tidings/consent"
	"tidings/events"
	"tidings/hub"
	"tidings/hub/schema"
	"tidings/hub/store/postgres"
	"tidings/hub/store/postgres/pgtest"
	"tidings/hub/store/sqlite"
	"tidings/subscriptions"
)

// BenchmarkPush times changes on their way to a webhook, from the report to the last answer: durable ingest, issue,
// ES256, loopback with keep-alive, durable settling. Two baselines do the same number in the same run, with as many
// connections: "bare" only signs and posts; "durable" also inserts a row per token, in transactions of as many as the
// pusher has under way, and deletes it when it was answered. To be at least 3,000/s on two cores, or 0.4 of bare.
func BenchmarkPush(b *testing.B) {
	onBoth(b, func(b *testing.B, store hub.Store, db outbox) {
		const people = 2000
		h, sink := newPushHouse(b, store), newSink(b)
		p, everybody := h.party(), make([]int, people)
		for i := range everybody {
			everybody[i] = i
		}
		h.grantAll(store, p, h.changed(everybody, 0))
		h.stream(p, subscriptions.Delivery{Method: events.MethodPush, EndpointURL: sink.URL})
		h.runPusher()
		key := must(events.GenerateKey(events.ES256))(b)
		var payload []byte
		var push, bare, durable, spent time.Duration
		timed := func(total *time.Duration, f func()) {
			began := time.Now()
			f()
			*total += time.Since(began)
		}
		for n := 1; b.Loop(); n++ {
			sink.expect(people)
			busy := cpuTime()
			timed(&push, func() { h.changed(everybody, n); sink.wait(b) })
			spent += cpuTime() - busy
			b.StopTimer()
			if payload == nil {
				payload = must(base64.RawURLEncoding.DecodeString(strings.Split(sink.last(), ".")[1]))(b)
			}
			sink.expect(people)
			timed(&bare, func() { signAndPost(b, sink.URL, key, payload, people, none{}); sink.wait(b) })
			sink.expect(people)
			timed(&durable, func() { signAndPost(b, sink.URL, key, payload, people, db); sink.wait(b) })
			b.StartTimer()
		}
		n := float64(b.N * people)
		b.ReportMetric(n/push.Seconds(), "events/s")
		b.ReportMetric(n/bare.Seconds(), "bare-events/s")
		b.ReportMetric(bare.Seconds()/push.Seconds(), "of-bare")
		b.ReportMetric(durable.Seconds()/push.Seconds(), "of-durable")
		b.ReportMetric(spent.Seconds()*1000/n, "cpu-s/1000") // the receiver's with it, PostgreSQL's without
	})
}

// BenchmarkPushLatency reports one change every 20 ms, and prints the time from the report to its arrival. Peers: 26 and
// 57 ms.
func BenchmarkPushLatency(b *testing.B) {
	onBoth(b, func(b *testing.B, store hub.Store, _ outbox) {
		const people, every, changes = 100, 20 * time.Millisecond, 250
		h, sink := newPushHouse(b, store), newSink(b)
		p := h.party()
		index := map[string]int{}
		for i := range people {
			e := h.person(pushKey(i), "title 0")
			h.grant(p, e)
			index[h.subject(p, e)] = i
		}
		var mu sync.Mutex
		var began [people]time.Time
		var took []time.Duration
		sink.each = func(compact string) {
			i := index[readSet(b, compact).Subject]
			mu.Lock()
			defer mu.Unlock()
			if !began[i].IsZero() {
				took = append(took, time.Since(began[i]))
				began[i] = time.Time{}
			}
		}
		h.stream(p, subscriptions.Delivery{Method: events.MethodPush, EndpointURL: sink.URL})
		h.runPusher()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for round := 0; b.Loop(); round++ {
			for n := range changes {
				<-tick.C
				i := n % people
				mu.Lock()
				began[i] = time.Now()
				mu.Unlock()
				h.changed([]int{i}, 1+n+round*changes)
			}
		}
		eventually(b, "all arrive", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return !slices.ContainsFunc(began[:], func(t time.Time) bool { return !t.IsZero() })
		})
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "p99-ms")
	})
}

// cpuTime is what this process has used of the cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// onBoth runs a benchmark on both stores, each with an outbox of its own for the baseline.
func onBoth(b *testing.B, bench func(b *testing.B, store hub.Store, db outbox)) {
	b.Run("sqlite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "bare.db")
		db := must(sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)"))(b)
		db.SetMaxOpenConns(1)
		b.Cleanup(func() { db.Close() })
		must(db.Exec("CREATE TABLE outbox (jti TEXT PRIMARY KEY, compact BLOB)"))(b)
		bench(b, must(sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "hub.db")))(b), sqliteOutbox{db})
	})
	b.Run("postgres", func(b *testing.B) {
		ctx := context.WithoutCancel(b.Context())
		conn := must(pgx.Connect(ctx, pgtest.URL(b)))(b)
		b.Cleanup(func() { conn.Close(ctx) })
		must(conn.Exec(ctx, "CREATE TABLE outbox (jti text PRIMARY KEY, compact bytea)"))(b)
		bench(b, must(postgres.Open(b.Context(), pgtest.URL(b)))(b), postgresOutbox{conn})
	})
}

func newPushHouse(b *testing.B, store hub.Store) *house {
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	h := must(hub.Open(ctx, store, hub.NewKeyFile(), hub.Config{Issuer: issuer, AllowInsecureReceivers: true}))(b)
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	b.Cleanup(func() {
		cancel()
		running.Wait()
		store.Close()
	})
	return &house{t: b, ctx: ctx, Hub: h, store: store}
}

func pushKey(i int) string { return fmt.Sprintf("person-%05d", i) }

// changed reports that people have a new title.
func (h *house) changed(people []int, n int) (entries []*hub.Entry) {
	var reports []hub.Report
	for _, i := range people {
		r := must(schema.Normalize(schema.User, map[string]any{"userName": pushKey(i), "title": fmt.Sprint("title ", n)}))(h.t)
		reports = append(reports, hub.Report{Source: "test", Key: pushKey(i), Type: schema.User, Resource: &r})
	}
	for some := range slices.Chunk(reports, 500) {
		for _, r := range must(h.Ingest(h.ctx, some...))(h.t) {
			if r.Err != nil {
				h.t.Fatal(r.Err)
			}
			entries = append(entries, r.Entry)
		}
	}
	return entries
}

// grantAll lets a party know everybody's title, a full transaction at a time.
func (h *house) grantAll(store hub.Store, p testParty, entries []*hub.Entry) {
	for some := range slices.Chunk(entries, hub.MaxMoves) {
		batch := hub.Batch{Now: 1}
		for _, e := range some {
			g := hub.Grant{ID: hub.NewID(), Party: p.ID, Entry: e.ID, Terms: consent.Terms{Attributes: []string{"title"}, Purposes: consent.Transfer | consent.Notify}}
			batch.Items = append(batch.Items, hub.Item{Grant: &hub.GrantWrite{Grant: g}, Lines: []hub.Change{{Kind: hub.Granted, Entry: e.ID, Party: p.ID}}})
		}
		if r := must(store.Commit(h.ctx, batch))(h.t); r.Done != len(some) {
			h.t.Fatal("grants were not taken")
		}
	}
}

// sink is a receiver that takes everything and checks nothing.
type sink struct {
	*httptest.Server
	left atomic.Int64
	done chan struct{}
	body atomic.Pointer[[]byte]
	each func(compact string)
}

func newSink(b *testing.B) *sink {
	s := &sink{done: make(chan struct{}, 1)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		s.body.Store(&body)
		if s.each != nil {
			s.each(string(body))
		}
		if s.left.Add(-1) == 0 {
			s.done <- struct{}{}
		}
	}))
	b.Cleanup(s.Close)
	return s
}

func (s *sink) last() string { return string(*s.body.Load()) }

func (s *sink) expect(n int64) { s.left.Store(n) }

func (s *sink) wait(b *testing.B) {
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		b.Fatalf("%d events never came", s.left.Load())
	}
}

// senders is how many connections the baseline keeps busy: as many as the pusher gives one stream.
const senders = 128

// outbox keeps tokens durably until they were answered.
type outbox interface {
	keep(jtis []string, compacts [][]byte) error
	drop(jtis []string) error
}

// signAndPost is the bare loop: signs a portion, keeps it, posts it over as many connections as the pusher has, and
// drops it.
func signAndPost(b *testing.B, url string, key crypto.Signer, payload []byte, n int, db outbox) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	for n > 0 {
		size := min(n, portion)
		n -= size
		jtis, compacts := make([]string, size), make([][]byte, size)
		inParallel(size, func(i int) {
			jtis[i] = events.NewJTI()
			compacts[i] = must(jws.Sign(payload, jws.WithKey(jwa.ES256, key)))(b)
		})
		if err := db.keep(jtis, compacts); err != nil {
			b.Error(err)
		}
		inParallel(size, func(i int) {
			response, err := client.Post(url, "application/secevent+jwt", bytes.NewReader(compacts[i]))
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		})
		if err := db.drop(jtis); err != nil {
			b.Error(err)
		}
	}
}

// portion is how many tokens of the baseline share a transaction.
const portion = 128

func inParallel(n int, f func(i int)) {
	var out sync.WaitGroup
	var next atomic.Int64
	for range senders {
		out.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	out.Wait()
}

type none struct{}

func (none) keep([]string, [][]byte) error { return nil }
func (none) drop([]string) error           { return nil }

type sqliteOutbox struct{ db *sql.DB }

func (o sqliteOutbox) keep(jtis []string, compacts [][]byte) error {
	return o.each("INSERT INTO outbox (jti, compact) VALUES (?, ?)", jtis, compacts)
}

func (o sqliteOutbox) drop(jtis []string) error {
	return o.each("DELETE FROM outbox WHERE jti = ?", jtis, nil)
}

func (o sqliteOutbox) each(query string, jtis []string, compacts [][]byte) error {
	tx, err := o.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	stmt, err := tx.Prepare(query)
	if err != nil {
		return err
	}
	for i, jti := range jtis {
		args := []any{jti}
		if compacts != nil {
			args = append(args, compacts[i])
		}
		if _, err := stmt.Exec(args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

type postgresOutbox struct{ conn *pgx.Conn }

func (o postgresOutbox) keep(jtis []string, compacts [][]byte) error {
	_, err := o.conn.Exec(context.Background(), "INSERT INTO outbox SELECT * FROM unnest($1::text[], $2::bytea[])", jtis, compacts)
	return err
}

func (o postgresOutbox) drop(jtis []string) error {
	_, err := o.conn.Exec(context.Background(), "DELETE FROM outbox WHERE jti = ANY($1::text[])", jtis)
	return err
}
