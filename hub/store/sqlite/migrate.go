package sqlite

import (
	"context"
	"embed"
	"fmt"

	"tidings/consent"
	"tidings/hub"
)

// Migrations are numbered from 1 without gaps and never change once released.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date, in one transaction: a crash leaves the old version whole.
func (s *Store) migrate(ctx context.Context) error {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	return s.write(ctx, "migrate", func(c *conn) error {
		version, err := claim(c)
		if err != nil || version == len(files) {
			return err
		}
		if version > len(files) {
			return hub.ErrNewer
		}
		for _, f := range files[version:] {
			text, err := migrations.ReadFile("migrations/" + f.Name())
			if err != nil {
				return err
			}
			if _, err := c.c.ExecContext(context.WithoutCancel(ctx), string(text)); err != nil {
				return fmt.Errorf("%s: %w", f.Name(), err)
			}
			if f.Name() == "0012_identifier.sql" {
				if err := c.reidentify(); err != nil {
					return fmt.Errorf("%s: %w", f.Name(), err)
				}
			}
		}
		if version == 0 {
			if err := begin(c); err != nil {
				return err
			}
		}
		return c.exec("UPDATE schema_version SET version = ?", len(files))
	})
}

// claim marks an empty database as ours and tells which version the tables have.
func claim(c *conn) (version int, err error) {
	var app, tables int
	if err := c.value("PRAGMA application_id", nil, &app); err != nil {
		return 0, err
	}
	if err := c.value("SELECT count(*) FROM sqlite_master", nil, &tables); err != nil {
		return 0, err
	}
	if app != applicationID {
		if app != 0 || tables != 0 {
			return 0, ErrForeign
		}
		if err := c.exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return 0, err
		}
		if err := c.exec("CREATE TABLE schema_version (version INTEGER NOT NULL)"); err != nil {
			return 0, err
		}
		if err := c.exec("INSERT INTO schema_version VALUES (0)"); err != nil {
			return 0, err
		}
	}
	err = c.value("SELECT version FROM schema_version", nil, &version)
	return version, err
}

// begin starts the history of a new store. Its tag belongs to no line.
func begin(c *conn) error {
	policy, err := jsonText(consent.Default())
	if err != nil {
		return err
	}
	t := hub.NewTag()
	return c.exec("INSERT INTO head (id, position, tag, oldest, policy) VALUES (1, 0, ?, 0, ?)", t[:], policy)
}
