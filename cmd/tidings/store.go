package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tidings/hub"
	"tidings/hub/store/postgres"
	"tidings/hub/store/sqlite"
)

// storeURL names a store.
type storeURL string

// path is the file of an embedded store, "" for PostgreSQL.
func (u storeURL) path() string {
	path, ok := strings.CutPrefix(string(u), "sqlite:")
	if !ok {
		return ""
	}
	return path
}

// Validate refuses what names no store.
func (u storeURL) Validate() error {
	switch {
	case u.path() != "":
		return nil
	case strings.HasPrefix(string(u), "postgres://"), strings.HasPrefix(string(u), "postgresql://"):
		return nil
	}
	return errors.New("unknown store URL: it is sqlite:PATH or postgres://…")
}

// opening says how a command uses the store.
type opening int

const (
	// reading: the store must be there.
	reading opening = iota
	// writing: a store that is not there is made.
	writing
	// importing: as writing, beside a serving hub that must not starve.
	importing
)

// openStore opens the store; the caller closes it.
func (rt *runtime) openStore(how opening) (hub.Store, error) {
	if err := rt.Store.Validate(); err != nil {
		return nil, &misuse{err.Error()}
	}
	path := rt.Store.path()
	if path == "" {
		return postgres.Open(rt.ctx, string(rt.Store))
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && how == reading {
		return nil, fmt.Errorf("there is no store at %s; 'tidings serve', 'tidings import' or 'tidings party add' makes one", path)
	}
	s, err := sqlite.Open(rt.ctx, path)
	if err != nil {
		return nil, err
	}
	if how == importing {
		s.Yielding()
	}
	return s, nil
}

// openHub opens the store with its key file, and the engine on it; the caller calls closeHub.
func (rt *runtime) openHub(how opening, conf hub.Config) (*hub.Hub, func() error, error) {
	if rt.KeyFile == "" && rt.Store.path() == "" && rt.Store.Validate() == nil {
		return nil, nil, misused("a PostgreSQL store needs --key-file") // before a table is made
	}
	s, err := rt.openStore(how)
	if err != nil {
		return nil, nil, err
	}
	key, err := rt.keyFile(rt.ctx, s)
	if err == nil {
		conf.Log = rt.log
		var h *hub.Hub
		if h, err = hub.Open(rt.ctx, s, key, conf); err == nil {
			return h, s.Close, nil
		}
	}
	return nil, nil, errors.Join(err, s.Close())
}

// withHub runs a command on the engine.
func (rt *runtime) withHub(how opening, command func(h *hub.Hub) error) error {
	return rt.withHubOf(how, hub.Config{}, command)
}

func (rt *runtime) withHubOf(how opening, conf hub.Config, command func(h *hub.Hub) error) error {
	h, done, err := rt.openHub(how, conf)
	if err != nil {
		return err
	}
	return errors.Join(command(h), done())
}

// keyFile reads the key file. Beside an unused SQLite store, or where --key-file names one for an unused store, it is
// made: 0600, and complete or not at all, since a store whose key was lost in a crash could not be opened again.
func (rt *runtime) keyFile(ctx context.Context, s hub.Store) ([]byte, error) {
	path := rt.KeyFile
	if path == "" {
		path = rt.Store.path() + ".key"
	}
	text, err := os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return nil, fmt.Errorf("read key file: %w", err)
		}
		return text, nil
	}
	unused, err := hub.Unused(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("look for keys: %w", err)
	}
	if !unused {
		return nil, fmt.Errorf("key file %s is missing; without the key that belongs to this store nothing of it can be opened", path)
	}
	return makeKeyFile(path)
}

func makeKeyFile(path string) ([]byte, error) {
	text := hub.NewKeyFile()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return nil, fmt.Errorf("make key file: %w", err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("make key file: %w", err)
	}
	// Link fails if another process made one meanwhile: the first stands, and is read.
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return os.ReadFile(path)
	} else if err != nil {
		return nil, fmt.Errorf("make key file: %w", err)
	}
	// The name has to outlast a power cut as well: the store is about to keep what nothing else can open.
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make key file: %w", err)
	}
	return text, nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
