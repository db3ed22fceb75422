// Copyright (c) 2026, the outbox developers

package main

// Messages that SQL enqueues to a queue of target watermill.

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
)

type event struct {
	name     string
	payload  []byte
	metadata message.Metadata
}

func many(n int) message.Metadata {
	m := message.Metadata{}
	for i := range n {
		m[fmt.Sprintf("name %d", i)] = fmt.Sprintf("value %d", i)
	}
	return m
}

// Each length at which MessagePack changes how it writes lengths.
func events() []event {
	all := []event{
		{"without metadata", []byte(`{"winner":"alice"}`), nil},
		{"with an empty payload", []byte{}, message.Metadata{"key": "value"}},
		{"with every byte", everyByte(), message.Metadata{"traceparent": "00-0af7-b7ad-01"}},
		{"with text beyond ASCII", []byte("größe ✓"), message.Metadata{"größe": "naïve ✓"}},
		{"with an empty name", []byte("x"), message.Metadata{"": ""}},
		{"of 300 kB", []byte(strings.Repeat("0123456789", 30000)), nil},
	}
	for _, n := range []int{31, 32, 255, 256, 65535, 65536} {
		all = append(all, event{fmt.Sprintf("with a value of %d bytes", n), []byte("x"),
			message.Metadata{"key": strings.Repeat("v", n)}})
	}
	for _, n := range []int{2, 15, 16, 1000} {
		all = append(all, event{fmt.Sprintf("with %d headers", n), []byte("x"), many(n)})
	}
	return all
}

func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// enqueue returns the message's id.
func (e *env) enqueue(ctx context.Context, queue string, ev event) (id string) {
	var headers any
	if ev.metadata != nil {
		text, err := json.Marshal(ev.metadata)
		e.must(err, "headers")
		headers = string(text)
	}
	e.must(e.pg.QueryRow(ctx, `SELECT outbox_enqueue($1, $2::bytea,
		headers => $3::jsonb)::text`, queue, ev.payload, headers).Scan(&id), "enqueue %s", ev.name)
	return id
}

// fields returns an entry's, with metadata as it is if that has an order.
func (e *env) fields(ctx context.Context, topic, uuid string, ev event) map[string]any {
	for _, entry := range e.redis.XRange(ctx, topic, "-", "+").Val() {
		if entry.Values[redisstream.UUIDHeaderKey] != uuid {
			continue
		}
		if len(ev.metadata) > 1 {
			entry.Values["metadata"] = len(entry.Values["metadata"].(string))
		}
		return entry.Values
	}
	return nil
}

func direct(ctx context.Context, e *env) {
	e.exec(ctx, `SELECT outbox_create_queue('events', 'watermill', redis_key => 'topic.events')`)
	publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: e.redis},
		watermill.NopLogger{})
	e.must(err, "a publisher")
	messages, subscriber := e.subscribe(ctx, "topic.events", "g")
	for _, ev := range events() {
		id := e.enqueue(ctx, "events", ev)
		m := e.next(messages)
		if m == nil {
			continue
		}
		e.is([]any{m.UUID, m.Metadata, []byte(m.Payload)},
			[]any{id, message.Metadata(copied(ev.metadata)), ev.payload},
			"a message %s: subscribed to", ev.name)
		fmt.Printf("# %s, %d metadata, %d bytes\n", m.UUID, len(m.Metadata), len(m.Payload))

		// Watermill's own, with the same identifier
		theirs := message.NewMessage(id, ev.payload)
		theirs.Metadata = ev.metadata
		e.must(publisher.Publish("topic.theirs", theirs), "publish")
		e.is(e.fields(ctx, "topic.events", id, ev), e.fields(ctx, "topic.theirs", id, ev),
			"a message %s: as its own publisher writes it", ev.name)
	}
	inOrder(ctx, e, messages)
	e.acknowledged(ctx, "topic.events", "g")
	e.must(subscriber.Close(), "close")
}

// The subscriber makes an empty map of none.
func copied(m message.Metadata) map[string]string {
	c := map[string]string{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func inOrder(ctx context.Context, e *env, messages <-chan *message.Message) {
	const n = 500
	e.exec(ctx, fmt.Sprintf(`BEGIN; SELECT outbox_enqueue('events', 'never'); ROLLBACK;
		SELECT outbox_enqueue('events', i::text) FROM generate_series(1, %d) AS i`, n))
	var got, wanted []string
	for i := 1; i <= n; i++ {
		wanted = append(wanted, fmt.Sprint(i))
		m := e.next(messages)
		if m == nil {
			break
		}
		got = append(got, string(m.Payload))
	}
	e.is(strings.Join(got, " "), strings.Join(wanted, " "),
		"%d messages: once, in order, nothing of what was rolled back", n)
}
