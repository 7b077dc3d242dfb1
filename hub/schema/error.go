package schema

import (
	"errors"
	"fmt"
)

// ErrUnknownAttribute: no schema of the type has an attribute of this name.
var ErrUnknownAttribute = errors.New("unknown attribute")

// ErrNotGrantable: the attribute exists but is never told to anybody (password) or is replaced by a
// party's own (id, meta, schemas).
var ErrNotGrantable = errors.New("attribute cannot be granted")

// ErrUnknownType: neither User nor Group.
var ErrUnknownType = errors.New("unknown resource type")

// Detail error keywords of RFC 7644 §3.12, table 9.
const (
	InvalidFilter = "invalidFilter"
	InvalidPath   = "invalidPath"
	InvalidSyntax = "invalidSyntax"
	InvalidValue  = "invalidValue"
	Mutability    = "mutability"
	NoTarget      = "noTarget"
	TooMany       = "tooMany"
)

// Error refuses a client's input; every ScimType used here goes with status 400.
// Detail names attributes and positions and never quotes a value: it ends up in answers and logs.
type Error struct{ ScimType, Detail string }

func (e *Error) Error() string { return e.ScimType + ": " + e.Detail }

func refuse(scimType, format string, args ...any) *Error {
	return &Error{ScimType: scimType, Detail: fmt.Sprintf(format, args...)}
}

// printable returns a client's spelling of an attribute name for an error, unless it could not be
// one: a key that is not a name may well be somebody's address.
func printable(name string) string {
	if len(name) > 128 {
		return "(not a name)"
	}
	for i := range len(name) {
		if !isNameByte(name[i]) {
			return "(not a name)"
		}
	}
	return name
}
