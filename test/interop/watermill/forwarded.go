// Copyright (c) 2026, the outbox developers

package main

// The forwarder's job without the forwarder: Watermill's forwarder publisher over
// its SQL publisher, in the producer's transaction, and its stream subscriber.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// a publisher as the application has it, in a transaction
func (e *env) in(tx wsql.ContextExecutor, schema wsql.SchemaAdapter, topic string) message.Publisher {
	publisher, err := wsql.NewPublisher(tx, wsql.PublisherConfig{SchemaAdapter: schema},
		watermill.NopLogger{})
	e.must(err, "a publisher in a transaction")
	return forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: topic})
}

// initialize makes the topic's table as Watermill does, and hands it to outbox.
func (e *env) initialize(ctx context.Context, schema wsql.SchemaAdapter, topic string) {
	queries, err := schema.SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams{Topic: topic})
	e.must(err, "the schema of %s", topic)
	for _, q := range queries {
		e.exec(ctx, q.Query, q.Args...)
	}
	e.exec(ctx, `SELECT outbox_forward_watermill(format('%I', 'watermill_' || $1::text)::regclass)`,
		topic)
}

var errChangedMind = errors.New("changed my mind")

func forwarded(ctx context.Context, e *env) {
	db, err := sql.Open("pgx", "")
	e.must(err, "connect by database/sql")
	defer db.Close()
	e.exec(ctx, `CREATE TABLE winners (name text PRIMARY KEY)`)
	e.exec(ctx, `SELECT outbox_create_queue('LotteryConcluded', 'watermill')`)
	e.exec(ctx, `SELECT outbox_create_queue('elsewhere', 'watermill', redis_key => 'other')`)
	messages, subscriber := e.subscribe(ctx, "LotteryConcluded", "prizes")
	others, otherSubscriber := e.subscribe(ctx, "other", "prizes")

	schemas := []struct {
		name   string
		schema wsql.SchemaAdapter
		topic  string
	}{
		{"DefaultPostgreSQLSchema", wsql.DefaultPostgreSQLSchema{}, "forwarder_topic"},
		{"PostgreSQLQueueSchema", wsql.PostgreSQLQueueSchema{}, "forwarder-Queue.2"},
		{"bytea payloads", wsql.DefaultPostgreSQLSchema{GeneratePayloadType: func(string) string {
			return "BYTEA"
		}}, "forwarder_bytes"},
	}
	for _, s := range schemas {
		e.initialize(ctx, s.schema, s.topic)
		conclude := func(winner string, ending error) *message.Message {
			m := message.NewMessage(watermill.NewUUID(), []byte(`{"winner": "`+winner+`"}`))
			m.Metadata.Set("trace", "00-"+winner)
			err := pgx.BeginFunc(ctx, e.pg, func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, `INSERT INTO winners VALUES ($1)`, winner); err != nil {
					return err
				}
				publisher := e.in(wsql.TxFromPgx(tx), s.schema, s.topic)
				if err := publisher.Publish("LotteryConcluded", m); err != nil {
					return err
				}
				return ending
			})
			if !errors.Is(err, ending) {
				e.must(err, "a transaction")
			}
			return m
		}
		conclude("bob, "+s.name, errChangedMind)
		sent := conclude("alice, "+s.name, nil)
		e.same(e.next(messages), sent, s.name+", pgx: of a rollback nothing, of a commit the message")

		e.stdlib(ctx, db, s.schema, s.topic, s.name, messages, others)
	}
	var n int
	e.must(e.pg.QueryRow(ctx, `SELECT count(*) FROM winners WHERE name LIKE 'bob%'`).Scan(&n), "bob")
	e.is(n, 0, "no winner whose transaction was rolled back")
	e.acknowledged(ctx, "LotteryConcluded", "prizes")
	e.acknowledged(ctx, "other", "prizes")
	e.must(subscriber.Close(), "close")
	e.must(otherSubscriber.Close(), "close")
}

// stdlib: database/sql, several messages in a call, to two topics.
func (e *env) stdlib(ctx context.Context, db *sql.DB, schema wsql.SchemaAdapter, topic, name string,
	messages, others <-chan *message.Message) {
	tx, err := db.BeginTx(ctx, nil)
	e.must(err, "BEGIN")
	publisher := e.in(wsql.TxFromStdSQL(tx), schema, topic)
	const n = 100
	var batch []*message.Message
	for i := range n {
		batch = append(batch, message.NewMessage(watermill.NewUUID(), []byte(fmt.Sprint(i))))
	}
	e.must(publisher.Publish("LotteryConcluded", batch...), "publish a batch")
	other := message.NewMessage(watermill.NewUUID(), everyByte())
	e.must(publisher.Publish("elsewhere", other), "publish to another topic")
	e.must(tx.Commit(), "COMMIT")

	var got, wanted []string
	for _, sent := range batch {
		m := e.next(messages)
		if m == nil {
			break
		}
		got, wanted = append(got, m.UUID+string(m.Payload)), append(wanted, sent.UUID+string(sent.Payload))
	}
	e.is(strings.Join(got, " "), strings.Join(wanted, " "),
		"%s, database/sql: %d messages of one call, in order", name, n)
	e.same(e.next(others), other, name+", database/sql: to another topic, any bytes")

	tx, err = db.BeginTx(ctx, nil)
	e.must(err, "BEGIN")
	defer tx.Rollback()
	err = e.in(wsql.TxFromStdSQL(tx), schema, topic).Publish("nowhere",
		message.NewMessage(watermill.NewUUID(), []byte("x")))
	e.is(err != nil && strings.Contains(err.Error(), "nowhere"), true,
		"%s: to a topic that is no queue: refused (%v)", name, err)
}

func (e *env) same(got, sent *message.Message, words string) {
	if got == nil {
		return
	}
	e.is([]any{got.UUID, got.Metadata, []byte(got.Payload)},
		[]any{sent.UUID, sent.Metadata, []byte(sent.Payload)}, "%s", words)
	fmt.Printf("# %s %.60q %q\n", got.UUID, got.Payload, got.Metadata)
}
