package delivery

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"tidings/hub"
)

// TestAllowedReceivers: PU-09. An operator's list admits its networks and no others, and only for https; an IPv4 network
// is not reached through its IPv6 spellings.
func TestAllowedReceivers(t *testing.T) {
	out := Outward{Allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}}
	for address, want := range map[string]bool{
		"10.1.2.3:443": true, "10.2.0.1:443": false, "127.0.0.1:443": false, "169.254.169.254:80": false, "168.63.129.16:80": false,
		"[fd12::1]:443": true, "[fd13::1]:443": false, "[::ffff:10.1.2.3]:443": false, "[64:ff9b::a01:203]:443": false,
		"93.184.215.14:443": true,
	} {
		network := "tcp6"
		if netip.MustParseAddrPort(address).Addr().Is4() {
			network = "tcp4"
		}
		if err := out.guardian().Safe(network, address, nil); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	inside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }))
	defer inside.Close()
	for want, allowed := range map[string][]netip.Prefix{"": {netip.MustParsePrefix("127.0.0.0/8")}, "blocked": {netip.MustParsePrefix("10.0.0.0/8")}} {
		p := NewPusher(nil, Outward{Allowed: allowed}, quiet())
		transport := newTransport(p.out, nil)
		transport.TLSClientConfig.RootCAs = inside.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		p.client = client(transport)
		if a := p.post(t.Context(), hub.Endpoint{URL: inside.URL}, []byte("a.b.c")); a.Failure != want || (a.Status == 202) != (want == "") {
			t.Errorf("%+v, want %q", a, want)
		}
		plain := "http" + inside.URL[len("https"):]
		if a := p.post(t.Context(), hub.Endpoint{URL: plain}, []byte("a.b.c")); a.Failure != "blocked" {
			t.Errorf("plain http: %+v", a)
		}
	}
}

// A hub that is tried out reaches its own machine besides, and nothing else of the inside.
func TestInsecureReceivers(t *testing.T) {
	p := NewPusher(nil, Outward{Insecure: true}, quiet())
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }))
	defer inside.Close()
	for endpoint, want := range map[string]string{inside.URL: "", "http://10.0.0.1/": "blocked", "http://169.254.169.254/": "blocked", "http://[fe80::1]/": "blocked"} {
		if a := p.post(t.Context(), hub.Endpoint{URL: endpoint}, []byte("a.b.c")); a.Failure != want {
			t.Errorf("%s: %+v, want %q", endpoint, a, want)
		}
	}
}

// connector is a proxy that answers CONNECT, always by the same server.
type connector struct {
	net.Listener
	asked   sync.Map // host:port → Proxy-Authorization
	running sync.WaitGroup
}

func newConnector(t *testing.T, to string) *connector {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &connector{Listener: l}
	c.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.running.Go(func() { c.serve(conn, to) })
		}
	})
	t.Cleanup(func() { l.Close(); c.running.Wait() })
	return c
}

func (c *connector) serve(conn net.Conn, to string) {
	defer conn.Close()
	from := bufio.NewReader(conn)
	r, err := http.ReadRequest(from)
	if err != nil || r.Method != http.MethodConnect {
		return
	}
	c.asked.Store(r.Host, r.Header.Get("Proxy-Authorization"))
	inner, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
	var back sync.WaitGroup
	back.Go(func() { io.Copy(conn, inner); conn.Close() })
	io.Copy(inner, from)
	inner.Close()
	back.Wait()
}

// TestProxiedAddresses: behind a proxy nothing is judged when dialling, so a URL that names a refused address, however it is
// written, is refused before the proxy is asked.
func TestProxiedAddresses(t *testing.T) {
	out := Outward{Proxy: &url.URL{Scheme: "http", Host: "proxy.example"}}
	for _, host := range []string{
		"100.100.100.200", "100.100.100.200.", "100.100.100.200..", "168.63.129.16.", "[64:ff9b::a00:1]", "10.0.0.1.", "localhost.",
		"100。100。100。200", "１００.100.100.２００", "１００．１００．１００．２００", "１００．１００．１００．２００．",
	} {
		u := must(url.Parse("https://" + host + "/events"))(t)
		if out.admits(u) == nil {
			t.Errorf("%s is asked for", host)
		}
	}
	for _, host := range []string{"example.com", "example.com.", "8.8.8.8", "8.8.8.8.", "xn--bcher-kva.example"} {
		if err := out.admits(must(url.Parse("https://" + host + "/events"))(t)); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestProxy: pushes go through the operator's proxy, which sees a name and no token; what names an inner address itself is
// refused before the proxy is asked.
func TestProxy(t *testing.T) {
	var got atomic.Int32
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		got.Add(1)
		w.WriteHeader(202)
	}))
	defer receiver.Close()
	proxy := newConnector(t, receiver.Listener.Addr().String())
	p := NewPusher(nil, Outward{Proxy: &url.URL{Scheme: "http", User: url.UserPassword("hub", "secret"), Host: proxy.Addr().String()}}, quiet())
	transport := newTransport(p.out, nil)
	transport.TLSClientConfig.RootCAs = receiver.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	p.client = client(transport)
	defer transport.CloseIdleConnections()
	if a := p.post(t.Context(), hub.Endpoint{URL: "https://example.com/events"}, []byte("a.b.c")); a.Status != 202 || got.Load() != 1 {
		t.Errorf("%+v, %d arrived", a, got.Load())
	}
	if credentials, _ := proxy.asked.Load("example.com:443"); credentials != "Basic aHViOnNlY3JldA==" {
		t.Errorf("the proxy was given %q", credentials)
	}
	for _, endpoint := range []string{"https://127.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://localhost/", "https://100.64.0.1/",
		"https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://168.63.129.16/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "http://example.com/"} {
		if a := p.post(t.Context(), hub.Endpoint{URL: endpoint}, []byte("a.b.c")); a.Failure != "blocked" {
			t.Errorf("%s: %+v", endpoint, a)
		}
	}
	asked := 0
	proxy.asked.Range(func(any, any) bool { asked++; return true })
	if asked != 1 {
		t.Errorf("the proxy was asked for %d hosts", asked)
	}
}
