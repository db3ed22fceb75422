// Copyright (c) 2026, the outbox developers

package main

// A task as SQL enqueues it and as asynq's own client does.

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
)

type task struct {
	name    string
	queue   string
	typ     string
	payload []byte
	none    bool // no payload
	headers map[string]string
	id      string
	at      time.Time      // zero: at once
	options map[string]any // what SQL is told
	client  []asynq.Option // what the client is told
}

func optional[T any](v T, given bool) any {
	if !given {
		return nil
	}
	return v
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// bySQL returns the message's id.
func (t task) bySQL(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (id string, err error) {
	if t.payload == nil && !t.none {
		t.payload = []byte{}
	}
	err = db.QueryRow(ctx,
		`SELECT outbox_enqueue($1, $2::bytea, type => $3, headers => $4::jsonb,
			id => $5::uuid, deliver_at => $6::timestamptz, options => $7::jsonb)::text`,
		t.queue, t.payload, t.typ,
		optional(asJSON(t.headers), t.headers != nil),
		optional(t.id, t.id != ""),
		optional(t.at, !t.at.IsZero()),
		optional(asJSON(t.options), t.options != nil)).Scan(&id)
	return id, err
}

func (t task) byClient(client *asynq.Client) error {
	options := append([]asynq.Option{asynq.Queue(t.queue), asynq.TaskID(t.id)}, t.client...)
	if !t.at.IsZero() {
		options = append(options, asynq.ProcessAt(t.at))
	}
	_, err := client.Enqueue(asynq.NewTaskWithHeaders(t.typ, t.payload, t.headers), options...)
	return err
}
