// Copyright (c) 2026, the outbox developers

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// draw picks a winner, stores it and publishes the event: all of it or nothing.
func draw(ctx context.Context, db *pgxpool.Pool, lottery int, die bool) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		var winner string
		err := tx.QueryRow(ctx, `INSERT INTO winners (lottery, name)
			SELECT $1, name FROM participants ORDER BY random() LIMIT 1
			RETURNING name`, lottery).Scan(&winner)
		if err != nil {
			return err
		}
		publisher, err := inTransaction(tx)
		if err != nil {
			return err
		}
		payload, err := json.Marshal(lotteryConcluded{lottery, winner})
		if err != nil {
			return err
		}
		event := message.NewMessage(watermill.NewULID(), payload)
		event.Metadata.Set("lottery", fmt.Sprint(lottery))
		if err := publisher.Publish(topic, event); err != nil {
			return err
		}
		if die {
			fmt.Printf("lottery %d: %s would have won\n", lottery, winner)
			os.Exit(3)
		}
		fmt.Printf("lottery %d: %s wins, event %s\n", lottery, winner, event.UUID)
		return nil
	})
}

// inTransaction is a publisher as Watermill's documentation has it: the
// forwarder's envelope around the SQL publisher, over the caller's transaction.
func inTransaction(tx pgx.Tx) (message.Publisher, error) {
	publisher, err := sql.NewPublisher(sql.TxFromPgx(tx), sql.PublisherConfig{
		SchemaAdapter: sql.DefaultPostgreSQLSchema{},
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	return forwarder.NewPublisher(publisher, forwarder.PublisherConfig{
		ForwarderTopic: "events_to_forward",
	}), nil
}
