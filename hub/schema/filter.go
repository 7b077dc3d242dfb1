package schema

import (
	"encoding/json"
	"strings"
	"time"
)

// Bounds of a filter: the length in bytes, and how deep parentheses, brackets and "not" may nest. Both
// keep a stranger's text from costing stack or time.
const (
	maxFilterLength = 4096
	maxFilterDepth  = 32
)

// Filter selects resources (RFC 7644 §3.4.2.2). The zero Filter selects all.
type Filter struct{ root expression }

// ParseFilter reads a filter. Names may be short ones of extension attributes, and an attribute with a "value" may be
// compared itself (Entra ID sends both: manager eq "…"). Beyond the RFC, a comparison may follow a
// value path: emails[type eq "work"].value eq "…". Errors are *Error invalidFilter: bad syntax, an attribute of no type,
// an operator or a value unfit for the attribute's type (SM-35), a password, more than 4,096 bytes or 32 levels.
func ParseFilter(text string) (Filter, error) {
	if len(text) > maxFilterLength {
		return Filter{}, refuse(InvalidFilter, "the filter is longer than %d bytes", maxFilterLength)
	}
	p := &parser{text: text, scimType: InvalidFilter}
	p.resolve = func(name string) (field, bool) {
		f, ok := User.locateShort(name)
		if !ok {
			f, ok = Group.locateShort(name)
		}
		return f, ok
	}
	p.next()
	root := p.disjunction()
	if p.kind != end {
		p.fail("expected the end of the filter")
	}
	if p.err != nil {
		return Filter{}, p.err
	}
	return Filter{root}, nil
}

// Equality returns name and value when the filter is exactly `name eq "value"` on a text attribute, for
// looking it up in an index: the canonical name, folded ("username", "emails.value"), and the value, folded
// unless the attribute is case exact (id, externalId).
func (f Filter) Equality() (name, value string, ok bool) {
	c, ok := f.root.(comparison)
	if !ok || c.op != "eq" {
		return "", "", false
	}
	value, ok = c.value.(string)
	return lower(c.field.name), value, ok
}

type kind int

const (
	end    kind = iota
	word        // a name, an operator, a literal other than a string
	text        // a JSON string
	symbol      // ( ) [ ]
)

// parser is a recursive descent over a filter or a PATCH path. After the first error it stands at the end.
type parser struct {
	text     string
	scimType string // of its errors
	resolve  func(name string) (field, bool)
	pos      int // after the present token
	start    int // of the present token
	kind     kind
	token    string
	depth    int
	err      error
}

// fail keeps the first error. It tells where, never what: the text may hold personal data.
func (p *parser) fail(problem string) {
	if p.err == nil {
		p.err = refuse(p.scimType, "%s at byte %d", problem, p.start+1)
	}
	p.kind, p.token, p.pos = end, "", len(p.text)
}

// next reads a token.
func (p *parser) next() {
	for p.pos < len(p.text) && p.text[p.pos] == ' ' {
		p.pos++
	}
	p.start, p.token = p.pos, ""
	if p.pos == len(p.text) {
		p.kind = end
		return
	}
	switch c := p.text[p.pos]; {
	case strings.IndexByte("()[]", c) >= 0:
		p.kind = symbol
		p.pos++
	case c == '"':
		p.quoted()
		return
	case isNameByte(c) || c == '+':
		p.kind = word
		for p.pos < len(p.text) && (isNameByte(p.text[p.pos]) || p.text[p.pos] == '+') {
			p.pos++
		}
	default:
		p.fail("unexpected character")
		return
	}
	p.token = p.text[p.start:p.pos]
}

func (p *parser) quoted() {
	for i := p.pos + 1; i < len(p.text); i++ {
		switch p.text[i] {
		case '\\':
			i++
		case '"':
			if json.Unmarshal([]byte(p.text[p.pos:i+1]), &p.token) != nil {
				p.fail("bad string")
				return
			}
			p.kind, p.pos = text, i+1
			return
		}
	}
	p.fail("string without an end")
}

func (p *parser) is(s string) bool { return p.kind == symbol && p.token == s }

// keyword takes a word that is s in any case.
func (p *parser) keyword(s string) bool {
	if p.kind != word || !equalFold(p.token, s) {
		return false
	}
	p.next()
	return true
}

// symbol takes one symbol or fails.
func (p *parser) symbol(s string) {
	if !p.is(s) {
		p.fail("expected " + s)
		return
	}
	p.next()
}

// SM-31: or binds weakest, then and, then not, then the attribute operators.
func (p *parser) disjunction() expression {
	terms := anyOf{p.conjunction()}
	for p.keyword("or") {
		terms = append(terms, p.conjunction())
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return terms
}

func (p *parser) conjunction() expression {
	terms := allOf{p.factor()}
	for p.keyword("and") {
		terms = append(terms, p.factor())
	}
	if len(terms) == 1 {
		return terms[0]
	}
	return terms
}

func (p *parser) factor() expression {
	if p.keyword("not") {
		if !p.is("(") {
			p.fail("expected ( after not")
			return nil
		}
		return negation{p.group("(", ")")}
	}
	if p.is("(") {
		return p.group("(", ")")
	}
	return p.attribute()
}

// group reads an expression between two symbols.
func (p *parser) group(left, right string) expression {
	if p.depth++; p.depth > maxFilterDepth {
		p.fail("nested too deeply")
		return nil
	}
	p.symbol(left)
	x := p.disjunction()
	p.symbol(right)
	p.depth--
	return x
}

func (p *parser) attribute() expression {
	f := p.name()
	if p.err != nil {
		return nil
	}
	if !p.is("[") {
		return p.operator(f)
	}
	if f.attr.Type != TypeComplex || f.sub != nil {
		p.fail("a value path on an attribute without sub-attributes")
		return nil
	}
	inner := p.elements(f)
	if p.kind != word || p.token[0] != '.' {
		return elements{f, inner}
	}
	sub := p.suffix(f)
	if p.err != nil {
		return nil
	}
	return elements{f, allOf{inner, p.operator(*sub)}}
}

// elements reads "[…]" after f; names within are those of f's sub-attributes, so brackets cannot nest.
func (p *parser) elements(f field) expression {
	outer := p.resolve
	p.resolve = func(name string) (field, bool) {
		sub := f.within(name)
		if sub == nil {
			return field{}, false
		}
		return *sub, true
	}
	inner := p.group("[", "]")
	p.resolve = outer
	return inner
}

// suffix reads ".sub" after a value path.
func (p *parser) suffix(f field) *field {
	sub := f.within(p.token[1:])
	if sub == nil {
		p.fail("unknown sub-attribute")
		return nil
	}
	p.next()
	return sub
}

func (p *parser) name() field {
	if p.kind != word {
		p.fail("expected an attribute")
		return field{}
	}
	f, ok := p.resolve(p.token)
	if !ok {
		p.fail("unknown attribute")
		return field{}
	}
	if f.leaf().Returned == ReturnedNever { // SM-37: a filter would be an oracle
		p.fail("an attribute that cannot be searched")
		return field{}
	}
	p.next()
	return f
}

func (p *parser) operator(f field) expression {
	if p.keyword("pr") {
		return presence{f}
	}
	op := lower(p.token)
	switch op {
	case "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le":
	default:
		p.fail("expected an operator")
		return nil
	}
	p.next()
	if f.leaf().Type == TypeComplex {
		value := f.within("value")
		if value == nil {
			p.fail("a comparison with an attribute that has no value of its own")
			return nil
		}
		f = *value
	}
	given := p.token
	value := p.literal(f.leaf(), op)
	if p.err != nil {
		return nil
	}
	if b, ok := value.(bool); ok {
		return comparison{f, op, value, b}
	}
	return comparison{f, op, value, given}
}

// literal reads a value fit for the attribute and the operator: string (folded unless case exact), bool,
// time.Time, or nil for null.
func (p *parser) literal(a *Attribute, op string) any {
	ordered, equal := op[0] == 'g' || op[0] == 'l', op == "eq" || op == "ne"
	value, ok := any(p.token), p.kind == text
	if p.kind == word {
		switch p.token { // JSON's are lower case; Entra's True stands in quotes
		case "true", "false":
			value, ok = p.token == "true", a.Type == TypeBoolean
		case "null":
			value, ok = nil, equal
		}
	}
	if s, isText := value.(string); isText && ok {
		switch a.Type {
		case TypeBoolean:
			ok = equalFold(s, "true") || equalFold(s, "false")
			value = equalFold(s, "true")
		case TypeDateTime:
			at, err := time.Parse(time.RFC3339Nano, s)
			value, ok = at, err == nil && (ordered || equal)
		default:
			if !a.CaseExact {
				value = Fold(s)
			}
		}
	}
	if _, isBool := value.(bool); isBool {
		ok = ok && equal
	}
	if !ok || ordered && a.Type == TypeBinary {
		p.fail("a value or operator unfit for the attribute")
		return nil
	}
	p.next()
	return value
}
