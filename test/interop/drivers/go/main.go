// Copyright (c) 2026, the outbox developers
//
// The drivers of Go, each by its name: see ../run for what they print.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
	"github.com/uptrace/bun/driver/pgdriver"
)

var values = []struct {
	name  string
	value any
}{
	{"string", `hé "llo"`},
	{"digits", "123"},
	{"object", map[string]any{"a": 1, "b": "é"}},
	{"array", []int{1, 2}},
	{"words", []string{"a", "b"}},
	{"empty", []string{}},
	{"bytes", []byte{0, 255, '{'}},
	{"document", []byte(`{"a": 1}`)},
	{"null", nil},
	{"number", 42},
	{"true", true},
}

const (
	plain    = "SELECT outbox_enqueue($1, $2)"
	jsonb    = "SELECT outbox_enqueue_json($1, $2)"
	asJSONB  = "SELECT outbox_enqueue($1, $2::jsonb)"
	asText   = "SELECT outbox_enqueue($1, $2::text)"
	asBytea  = "SELECT outbox_enqueue($1, $2::bytea)"
	many     = "SELECT (outbox_enqueue_many($1, $2))[1]"
	manyText = "SELECT (outbox_enqueue_many($1, $2::jsonb))[1]"
)

var errNoWay = errors.New("there is no such value in this way")

func same(value any) (any, error) { return value, nil }

func marshal(value any) (any, error) {
	if _, isBytes := value.([]byte); isBytes {
		return nil, errNoWay
	}
	return json.Marshal(value)
}

func dumped(value any) (any, error) {
	b, err := marshal(value)
	if err != nil {
		return nil, err
	}
	return string(b.([]byte)), nil
}

func rawMessage(value any) (any, error) {
	b, err := marshal(value)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(b.([]byte)), nil
}

func listed(value any) (any, error) {
	if _, isBytes := value.([]byte); isBytes {
		return nil, errNoWay
	}
	return []any{value}, nil
}

func dumpedList(value any) (any, error) {
	list, err := listed(value)
	if err != nil {
		return nil, err
	}
	return dumped(list)
}

type way struct {
	name    string
	sql     string
	convert func(any) (any, error)
}

// the ways that all have; what a driver has of its own it adds
var ways = []way{
	{"plain", plain, same},
	{"json()", jsonb, same},
	{"dumped", plain, dumped},
	{"dumped json()", jsonb, dumped},
	{"Marshal", plain, marshal},
	{"Marshal json()", jsonb, marshal},
	{"RawMessage", plain, rawMessage},
	{"::jsonb", asJSONB, same},
	{"dumped ::jsonb", asJSONB, dumped},
	{"Marshal ::jsonb", asJSONB, marshal},
	{"::text", asText, same},
	{"::bytea", asBytea, same},
	{"many", many, listed},
	{"dumped many", many, dumpedList},
	{"dumped many ::jsonb", manyText, dumpedList},
}

// enqueue calls a statement with a queue and a payload and returns the id
type enqueue func(sql, queue string, payload any) (string, error)

func sqlstate(err error) string {
	var pgx *pgconn.PgError
	var lib *pq.Error
	var bun pgdriver.Error
	switch {
	case errors.As(err, &pgx):
		return pgx.Code
	case errors.As(err, &lib):
		return string(lib.Code)
	case errors.As(err, &bun):
		return bun.Field('C')
	}
	return ""
}

var out = bufio.NewWriter(os.Stdout)

func cell(mode string, w way, name, queue string, value any, call enqueue) {
	result := ""
	payload, err := w.convert(value)
	if err == nil {
		result, err = call(w.sql, queue, payload)
	}
	said := ""
	if err != nil {
		said = strings.Join(strings.Fields(err.Error()), " ")
	}
	switch state := sqlstate(err); {
	case err == nil:
		result = "id\t" + result
	case errors.Is(err, errNoWay):
		result = "none"
	case state != "":
		result = "server\t" + state + "\t" + said
	default:
		result = "driver\t" + reflect.TypeOf(err).String() + "\t" + said
	}
	fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", mode, w.name, name, queue, result)
}

func run(mode string, ways []way, call enqueue) {
	for _, w := range ways {
		for _, v := range values {
			for _, queue := range []string{"json", "text", "bytea"} {
				cell(mode, w, v.name, queue, v.value, call)
			}
		}
	}
}

func host(mode string) (port, database string) {
	if _, bouncer, found := strings.Cut(mode, "@"); found {
		return os.Getenv("BOUNCER_PORT"), bouncer
	}
	return os.Getenv("PGPORT"), os.Getenv("PGDATABASE")
}

func url(mode, parameters string) string {
	port, database := host(mode)
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/%s?sslmode=disable%s", port, database, parameters)
}

func client(module string) {
	info, _ := debug.ReadBuildInfo()
	for _, dep := range info.Deps {
		if dep.Path == module {
			fmt.Fprintln(out, "client", dep.Path, dep.Version)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	defer out.Flush()
	map[string]func(){"pgx": usePgx, "pgx-stdlib": useStdlib, "pq": usePq, "gorm": useGorm, "sqlx": useSqlx,
		"bun": useBun}[os.Args[1]]()
}
