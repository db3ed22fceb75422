// Copyright (c) 2026, the outbox developers
//
// Rust's drivers encode a parameter for the type that the server says it has, and
// have a type of their own for each.  See ../run for what is printed.
use serde_json::{json, Value as Json};
use std::env;

mod use_diesel;
mod use_sqlx;
mod use_tokio_postgres;

/// A value as Rust has it
#[derive(Clone)]
pub enum Value {
    Text(&'static str),
    Document(Json),
    Bytes(&'static [u8]),
    Null,
    Number(i32),
    Bool(bool),
    Numbers(Vec<i32>),
    Words(Vec<&'static str>),
}

pub fn values() -> Vec<(&'static str, Value)> {
    vec![
        ("string", Value::Text("hé \"llo\"")),
        ("digits", Value::Text("123")),
        ("object", Value::Document(json!({"a": 1, "b": "é"}))),
        ("array", Value::Numbers(vec![1, 2])),
        ("words", Value::Words(vec!["a", "b"])),
        ("empty", Value::Words(vec![])),
        ("bytes", Value::Bytes(b"\x00\xff{")),
        ("document", Value::Bytes(b"{\"a\": 1}")),
        ("null", Value::Null),
        ("number", Value::Number(42)),
        ("true", Value::Bool(true)),
    ]
}

pub const QUEUES: [&str; 3] = ["json", "text", "bytea"];
pub const PLAIN: &str = "SELECT outbox_enqueue($1, $2)";
pub const JSON: &str = "SELECT outbox_enqueue_json($1, $2)";
pub const JSONB: &str = "SELECT outbox_enqueue($1, $2::jsonb)";
pub const BYTEA: &str = "SELECT outbox_enqueue($1, $2::bytea)";
pub const MANY: &str = "SELECT (outbox_enqueue_many($1, $2))[1]";

/// what a way makes of a value; none if it can't
pub fn same(value: &Value) -> Option<Value> {
    Some(value.clone())
}

pub fn document(value: &Value) -> Option<Value> {
    let v = match value {
        Value::Text(s) => json!(s),
        Value::Document(d) => d.clone(),
        Value::Bytes(_) => return None,
        Value::Null => Json::Null,
        Value::Number(n) => json!(n),
        Value::Bool(b) => json!(b),
        Value::Numbers(a) => json!(a),
        Value::Words(a) => json!(a),
    };
    Some(Value::Document(v))
}

pub fn dumped(value: &Value) -> Option<Value> {
    match document(value)? {
        Value::Document(d) => Some(Value::Text(Box::leak(d.to_string().into_boxed_str()))),
        _ => None,
    }
}

pub fn listed(value: &Value) -> Option<Value> {
    match document(value)? {
        Value::Document(d) => Some(Value::Document(json!([d]))),
        _ => None,
    }
}

pub type Way = (&'static str, &'static str, fn(&Value) -> Option<Value>);

pub const WAYS: [Way; 10] = [
    ("plain", PLAIN, same),
    ("json()", JSON, same),
    ("dumped", PLAIN, dumped),
    ("dumped json()", JSON, dumped),
    ("Value", PLAIN, document),
    ("Value json()", JSON, document),
    ("::jsonb", JSONB, same),
    ("Value ::jsonb", JSONB, document),
    ("::bytea", BYTEA, same),
    ("many Value", MANY, listed),
];

/// Err has the SQLSTATE, if it was the server, and the message
pub type Result = std::result::Result<String, (Option<String>, String)>;

pub fn say(mode: &str, way: &str, name: &str, queue: &str, result: Option<Result>) {
    let result = match result {
        None => "none".to_string(),
        Some(Ok(id)) => format!("id\t{id}"),
        Some(Err((Some(state), said))) => format!("server\t{state}\t{}", said.replace(['\n', '\t'], " ")),
        Some(Err((None, said))) => format!("driver\terror\t{}", said.replace(['\n', '\t'], " ")),
    };
    println!("{mode}\t{way}\t{name}\t{queue}\t{result}");
}

/// port and database of a mode
pub fn host(mode: &str) -> (String, String) {
    match mode.split_once('@') {
        Some((_, bouncer)) => (env::var("BOUNCER_PORT").unwrap(), bouncer.to_string()),
        None => (env::var("PGPORT").unwrap(), env::var("PGDATABASE").unwrap()),
    }
}

pub fn client(name: &str) {
    let lock = include_str!("../Cargo.lock");
    let at = lock.find(&format!("name = \"{name}\"\n")).unwrap();
    let version = lock[at..].lines().nth(1).unwrap().split('"').nth(1).unwrap();
    println!("client {name} {version}");
}

fn main() {
    match env::args().nth(1).as_deref() {
        Some("tokio-postgres") => use_tokio_postgres::run(),
        Some("rust-sqlx") => use_sqlx::run(),
        Some("diesel") => use_diesel::run(),
        _ => panic!("which driver?"),
    }
}
