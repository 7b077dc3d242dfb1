package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// configFile is the flag that names the one configuration file: a flat TOML table whose keys are names of flags.
//
//	store    = "postgres://tidings@db.example.com/tidings"
//	key-file = "/etc/tidings/key"
//	listen   = "0.0.0.0:8443"
//	issuer   = "https://tidings.example.com"
type configFile string

// BeforeResolve reads the file and lets kong take from it what neither flag nor environment gave.
func (c configFile) BeforeResolve(k *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
	path := string(ctx.FlagValue(trace.Flag).(configFile))
	if path == "" {
		return nil
	}
	settings := map[string]any{}
	if _, err := toml.DecodeFile(path, &settings); err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	known := map[string]bool{}
	for _, f := range k.Model.Flags {
		known[f.Name] = true
	}
	for _, leaf := range k.Model.Leaves(false) {
		for _, f := range leaf.Flags {
			known[f.Name] = true
		}
	}
	for name := range settings {
		if !known[name] || name == "config" || name == "help" {
			return fmt.Errorf("configuration file %s: unknown name %q; names are those of flags", path, name)
		}
	}
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		v, ok := settings[f.Name]
		if !ok || inEnvironment(f) {
			return nil, nil
		}
		if list, ok := v.([]any); ok {
			texts := make([]string, len(list))
			for i, element := range list {
				texts[i] = fmt.Sprint(element)
			}
			return strings.Join(texts, ","), nil
		}
		return fmt.Sprint(v), nil
	}))
	return nil
}

// inEnvironment: kong lets a resolver win over the environment; here the file, which stays, yields to it.
func inEnvironment(f *kong.Flag) bool {
	return slices.ContainsFunc(f.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set })
}
