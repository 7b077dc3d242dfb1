package schema

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold maps texts that differ only in case or composition to one (Unicode canonical caseless matching, full
// folding, then NFC). Keys such as userName are folded once, here, and compared as bytes ever after: neither database
// may fold or sort for us, as no two of them agree. Folding twice is folding once.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	// Decomposed first: folding U+0345 moves it past marks that have yet to be ordered (Unicode 3.13, D145).
	return norm.NFC.String(strings.Map(cherokee, cases.Fold().String(norm.NFD.String(s))))
}

// cherokee makes up for cases.Fold, which swaps the two cases of that script instead of joining them: Unicode folds it
// to upper case (TestFoldJoinsAllCases).
func cherokee(r rune) rune {
	if unicode.Is(unicode.Cherokee, r) {
		return unicode.ToUpper(r)
	}
	return r
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// lower folds a name. Names are ASCII, and only ASCII may fold into one: Unicode has a Kelvin sign that
// folds to k.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerByte(c)
	}
	return string(b)
}

func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// isNameByte says whether c can stand in an attribute path (RFC 7644 §3.4.2.2: URI, ATTRNAME, "$ref").
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_:.$", c) >= 0
}
