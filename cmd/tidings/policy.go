package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"tidings/consent"
	"tidings/hub"
)

type policyShow struct{}

func (c *policyShow) Run(rt *runtime) error {
	return rt.withHub(reading, func(h *hub.Hub) error {
		head, err := h.Head(rt.ctx)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(head.Policy, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(rt.out, "%s\n", text)
		return err
	})
}

type policyApply struct {
	File string `arg:"" help:"JSON as 'policy show' prints it." type:"existingfile"`
}

func (c *policyApply) Run(rt *runtime) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("read policy: %w", err)
	}
	var p consent.Policy
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || d.Decode(new(any)) != io.EOF {
		return misused("%s is no policy; 'tidings policy show' prints how one looks", c.File)
	}
	return rt.withHub(writing, func(h *hub.Hub) error {
		if err := h.SetPolicy(rt.ctx, actor, p); err != nil {
			return err
		}
		return rt.print(map[string]any{"applied": true}, "applied\n")
	})
}
