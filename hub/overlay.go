package hub

import (
	"encoding/json"
	"maps"
	"strings"

	"tidings/hub/schema"
)

// overlay takes the named attributes from the report and everything else from what is stored: a full report is full
// over the attributes its source's mapping knows, so that an import does not wipe what another face set.
func overlay(stored, reported schema.Attributes, names []string) schema.Attributes {
	out := maps.Clone(stored)
	for _, n := range names {
		path := steps(n)
		if v, ok := dig(reported, path); ok {
			bury(out, path, v)
		} else {
			remove(out, path)
		}
	}
	return out
}

// steps splits a canonical name into keys: extension URN, attribute, sub-attribute.
func steps(name string) []string {
	var path []string
	if strings.HasPrefix(name, "urn:") {
		i := strings.LastIndexByte(name, ':')
		path, name = append(path, name[:i]), name[i+1:]
	}
	return append(path, strings.SplitN(name, ".", 2)...)
}

func dig(a map[string]any, path []string) (any, bool) {
	v, ok := a[path[0]]
	if !ok || len(path) == 1 {
		return v, ok
	}
	inner, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	return dig(inner, path[1:])
}

// bury and remove copy each object on the way down, since the stored one may be shared.
func bury(a map[string]any, path []string, v any) {
	if len(path) == 1 {
		a[path[0]] = v
		return
	}
	inner, _ := a[path[0]].(map[string]any)
	inner = maps.Clone(inner)
	if inner == nil {
		inner = map[string]any{}
	}
	bury(inner, path[1:], v)
	a[path[0]] = inner
}

func remove(a map[string]any, path []string) {
	if len(path) == 1 {
		delete(a, path[0])
		return
	}
	inner, ok := a[path[0]].(map[string]any)
	if !ok {
		return
	}
	inner = maps.Clone(inner)
	remove(inner, path[1:])
	if len(inner) == 0 {
		delete(a, path[0])
		return
	}
	a[path[0]] = inner
}

// mustJSON encodes what this package itself put together.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
