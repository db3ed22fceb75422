// Copyright (c) 2026, the outbox developers
//
// A lottery that stores its winner and publishes LotteryConcluded in one
// transaction, and the subscriber that sends the prize.
//
//	lottery draw 7            pick and store the winner of lottery 7, and publish
//	lottery draw 7 die        and die right before COMMIT
//	lottery prizes            subscribe, until SIGTERM
//
// PostgreSQL is where PGHOST and its like say, Redis at $REDIS_ADDR.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The event, as JSON in the message's payload.
type lotteryConcluded struct {
	Lottery int    `json:"lottery"`
	Winner  string `json:"winner"`
}

const topic = "LotteryConcluded"

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, words []string) error {
	db, err := pgxpool.New(ctx, "")
	if err != nil {
		return err
	}
	defer db.Close()
	switch {
	case len(words) >= 2 && words[0] == "draw":
		lottery, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return draw(ctx, db, lottery, len(words) == 3 && words[2] == "die")
	case len(words) == 1 && words[0] == "prizes":
		return prizes(ctx, db, os.Getenv("REDIS_ADDR"))
	}
	return errors.New("usage: lottery draw NUMBER [die] | prizes")
}
