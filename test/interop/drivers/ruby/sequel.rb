# Copyright (c) 2026, the outbox developers
#
# Sequel puts values into the statement as literals.
require 'sequel'
require_relative 'cells'

puts "client sequel #{Sequel.version}"

def ways(database)
  call = lambda do |sql, convert = ->(value) { value }|
    ->(queue, value) { database.fetch(sql, queue, convert[value]).single_value }
  end
  function = lambda do |name, convert|
    ->(queue, value) { database.get(Sequel.function(name, queue, convert[value])) }
  end
  wrap = lambda do |value|
    dumps(value)
    Sequel.pg_jsonb_wrap(value)
  end
  blob = ->(value) { value.is_a?(String) ? Sequel.blob(value) : raise(NoWay) }
  plain = 'SELECT outbox_enqueue(?, ?)'
  { 'plain' => call[plain], 'json()' => call['SELECT outbox_enqueue_json(?, ?)'],
    'dumped' => call[plain, method(:dumps)], 'pg_jsonb_wrap' => call[plain, wrap], 'blob' => call[plain, blob],
    'function' => function[:outbox_enqueue, ->(value) { value }],
    'function pg_jsonb_wrap' => function[:outbox_enqueue, wrap],
    '::bytea' => call['SELECT outbox_enqueue(?, ?::bytea)', blob],
    'many pg_jsonb' => function[:outbox_enqueue_many, ->(value) { dumps(value) && Sequel.pg_jsonb([value]) }] }
end

%w[default default@transaction default@statement].each do |mode|
  port, name = port_and_database(mode)
  Sequel.connect(adapter: 'postgres', host: '127.0.0.1', port: port, database: name, user: 'postgres') do |db|
    db.extension :pg_json
    db.extension :pg_array
    run(mode, ways(db))
  end
end
