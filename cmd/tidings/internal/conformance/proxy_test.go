package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// exchange is a request and its answer on their way through the proxy: from the receiver to the program, or a push from
// the program to the receiver.
type exchange struct {
	push   bool
	req    *http.Request
	body   []byte
	status int
	header http.Header
	answer []byte
}

// breaker breaks a row: it may change the request before it passes it on, the answer after, or pass nothing at all.
type breaker func(x *exchange, pass func())

// proxy stands between the suite and the program, both ways.
type proxy struct {
	breaker breaker
	wire
	servers []*httptest.Server
	mu      sync.Mutex
}

// wire breaks what is below requests and answers.
type wire struct {
	oldTLS   bool         // speaks what is older than TLS 1.2
	blind    bool         // takes any certificate of a receiver
	query    bool         // takes the token of a socket from the query
	mute     bool         // takes pings for itself
	close    int          // the code with which sockets end
	down, up func(object) // frames to and from the receiver; an empty one is dropped
}

func (p *proxy) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		s.CloseClientConnections()
		s.Close()
	}
}

// serve opens a door of the proxy; what comes in goes to the target, by the given client.
func (p *proxy) serve(push bool, target string, client *http.Client, certificate *tls.Certificate) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.handle(w, r, push, target, client)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if certificate != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		if p.oldTLS {
			s.TLS.MinVersion = tls.VersionTLS10
		}
		s.StartTLS()
	} else {
		s.Start()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, s)
	return s
}

func (p *proxy) handle(w http.ResponseWriter, r *http.Request, push bool, target string, client *http.Client) {
	if r.Header.Get("Upgrade") != "" {
		p.relay(w, r, target)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	x := &exchange{push: push, req: r, body: body}
	pass := func() {
		if x.forward(target, client) != nil {
			panic(http.ErrAbortHandler) // the connection breaks, as it would without us
		}
	}
	if p.breaker == nil {
		pass()
	} else {
		p.breaker(x, pass)
	}
	for name, values := range x.header {
		if name != "Content-Length" && name != "Date" {
			w.Header()[name] = values
		}
	}
	if x.header.Get("Content-Type") == "" {
		w.Header()["Content-Type"] = nil // none is guessed
	}
	w.WriteHeader(x.status)
	_, _ = w.Write(x.answer)
}

func (x *exchange) forward(target string, client *http.Client) error {
	out, err := http.NewRequestWithContext(x.req.Context(), x.req.Method, target+x.req.URL.RequestURI(), bytes.NewReader(x.body))
	if err != nil {
		return err
	}
	out.Header = x.req.Header.Clone()
	if !x.push {
		out.Host = x.req.Host
	}
	if _, has := out.Header["User-Agent"]; !has {
		out.Header["User-Agent"] = nil
	}
	res, err := client.Do(out)
	if err != nil {
		return err
	}
	x.status, x.header, x.answer = res.StatusCode, res.Header, readAll(res)
	return nil
}

func readAll(res *http.Response) []byte {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil
	}
	return body
}

func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// text is a value as JSON.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The forger signs what the proxy changed in a token, with keys of its own, which it also puts into the JWKS: the
// signature is good, only the row is broken.
var forger = struct {
	ec  *ecdsa.PrivateKey
	rsa *rsa.PrivateKey
}{must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(rsa.GenerateKey(rand.Reader, 2048))}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// forge changes a compact token and signs it anew.
func forge(compact string, edit func(header, claims object)) string {
	parts := strings.Split(compact, ".")
	header, claims := decodePart(parts[0]), decodePart(parts[1])
	alg := header["alg"]
	edit(header, claims)
	input := base64.RawURLEncoding.EncodeToString([]byte(text(header))) + "." + base64.RawURLEncoding.EncodeToString([]byte(text(claims)))
	digest := sha256.Sum256([]byte(input))
	var signature []byte
	switch alg {
	case "RS256":
		signature = must(rsa.SignPKCS1v15(rand.Reader, forger.rsa, crypto.SHA256, digest[:]))
	default:
		r, s, err := ecdsa.Sign(rand.Reader, forger.ec, digest[:])
		if err != nil {
			panic(err)
		}
		signature = make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// forgeKeys puts the forger's keys in the place of the program's, under the same names.
func forgeKeys(keys object) {
	number := func(n *big.Int, size int) string {
		return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, size)))
	}
	list, _ := keys["keys"].([]any)
	for _, k := range list {
		key := k.(object)
		switch key["kty"] {
		case "RSA":
			key["n"], key["e"] = number(forger.rsa.N, 256), "AQAB"
		case "EC":
			point := must(forger.ec.PublicKey.Bytes()) // 4, X, Y
			key["x"], key["y"] = base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
		}
	}
}

func decodePart(part string) object {
	raw := must(base64.RawURLEncoding.DecodeString(part))
	var m object
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	return m
}

// newCertificate makes a certificate for 127.0.0.1 that vouches for itself.
func newCertificate(t testing.TB, certFile, keyFile string) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tidings"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	for name, content := range map[string][]byte{certFile: certPEM, keyFile: keyPEM} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	pair := must(tls.X509KeyPair(certPEM, keyPEM))
	return &pair, pool
}
