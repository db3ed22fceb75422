# Copyright (c) 2026, the outbox developers
#
# Ruby's pg: parameters as strings, with its type map, and as literals.
require 'pg'
require_relative 'cells'

puts "client ruby-pg #{PG::VERSION}"

def ways(connection)
  call = lambda do |sql, convert = nil, wrap = nil|
    lambda do |queue, value|
      payload = convert ? convert.call(value) : value
      payload = wrap.call(payload) if wrap
      connection.exec_params(sql, [queue, payload]).getvalue(0, 0)
    end
  end
  binary = ->(value) { value.is_a?(String) ? { value: value, format: 1 } : raise(NoWay) }
  typed = ->(value) { value.is_a?(String) ? { value: value, type: 17, format: 1 } : raise(NoWay) }
  plain = 'SELECT outbox_enqueue($1, $2)'
  json = 'SELECT outbox_enqueue_json($1, $2)'
  ways = { 'plain' => call[plain], 'json()' => call[json], 'dumped' => call[plain, method(:dumps)],
    'dumped json()' => call[json, method(:dumps)],
    '::jsonb' => call['SELECT outbox_enqueue($1, $2::jsonb)'],
    '::bytea' => call['SELECT outbox_enqueue($1, $2::bytea)'],
    'dumped many' => call['SELECT (outbox_enqueue_many($1, $2))[1]', method(:listed)] }
  # a type map takes such a hash for a value
  return ways if connection.type_map_for_queries.is_a?(PG::BasicTypeMapForQueries)

  ways.merge('binary' => call[plain, nil, binary], 'binary bytea' => call[plain, nil, typed],
             '::bytea binary' => call['SELECT outbox_enqueue($1, $2::bytea)', nil, binary])
end

%w[strings typemap strings@transaction strings@statement].each do |mode|
  port, database = port_and_database(mode)
  connection = PG.connect(host: '127.0.0.1', port: port, dbname: database, user: 'postgres')
  connection.type_map_for_queries = PG::BasicTypeMapForQueries.new(connection) if mode == 'typemap'
  run(mode, ways(connection))
end
