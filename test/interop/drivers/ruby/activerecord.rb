# Copyright (c) 2026, the outbox developers
#
# Active Record of Rails: binds, and what it quotes into a statement.
require 'active_record'
require_relative 'cells'

puts "client activerecord #{ActiveRecord.version}"

class Base < ActiveRecord::Base
  self.abstract_class = true
end

def ways
  connection = Base.connection
  string = ActiveRecord::Type::String.new
  bind = ->(name, value, type) { ActiveRecord::Relation::QueryAttribute.new(name, value, type) }
  call = lambda do |sql, type, convert = ->(value) { value }|
    lambda do |queue, value|
      binds = [bind['queue', queue, string], bind['payload', convert[value], type]]
      connection.exec_query(sql, 'outbox', binds).rows[0][0]
    end
  end
  quoted = lambda do |sql, convert = ->(value) { value }|
    ->(queue, value) { connection.select_value(Base.sanitize_sql([sql, queue, convert[value]])) }
  end
  oid = ActiveRecord::ConnectionAdapters::PostgreSQL::OID
  plain = 'SELECT outbox_enqueue($1, $2)'
  json = 'SELECT outbox_enqueue_json($1, $2)'
  marks = 'SELECT outbox_enqueue(?, ?)'
  no_bytes = ->(value) { dumps(value) && value }
  { 'bind Value' => call[plain, ActiveRecord::Type::Value.new], 'bind String' => call[plain, string],
    'bind Json' => call[plain, ActiveRecord::Type::Json.new, no_bytes],
    'bind Jsonb json()' => call[json, oid::Jsonb.new, no_bytes],
    'bind Bytea' => call[plain, oid::Bytea.new], 'bind dumped' => call[plain, string, method(:dumps)],
    'sanitize_sql' => quoted[marks], 'sanitize_sql dumped' => quoted[marks, method(:dumps)],
    'sanitize_sql json()' => quoted['SELECT outbox_enqueue_json(?, ?)'],
    'sanitize_sql ::bytea' => quoted['SELECT outbox_enqueue(?, ?::bytea)'],
    'dumped many' => call['SELECT (outbox_enqueue_many($1, $2))[1]', string, method(:listed)] }
end

[['prepared', true], ['unprepared', false], ['unprepared@transaction', false]].each do |mode, prepared|
  port, database = port_and_database(mode)
  Base.establish_connection(adapter: 'postgresql', host: '127.0.0.1', port: port, database: database,
                            username: 'postgres', prepared_statements: prepared, advisory_locks: false)
  run(mode, ways)
end
