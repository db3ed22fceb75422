# Copyright (c) 2026, the outbox developers
#
# What the programs for Ruby share: see ../run for what they print.
require 'json'

VALUES = {
  'string' => 'hé "llo"', 'digits' => '123', 'object' => { 'a' => 1, 'b' => 'é' }, 'array' => [1, 2],
  'words' => %w[a b], 'empty' => [], 'bytes' => "\x00\xff{".b, 'document' => '{"a": 1}'.b, 'null' => nil,
  'number' => 42, 'true' => true
}.freeze

class NoWay < StandardError
end

def dumps(value)
  raise NoWay if value.is_a?(String) && value.encoding == Encoding::BINARY

  JSON.generate(value)
end

def listed(value)
  dumps(value)
  JSON.generate([value])
end

def port_and_database(mode)
  bouncer = mode.split('@')[1]
  bouncer ? [ENV['BOUNCER_PORT'], bouncer] : [ENV['PGPORT'], ENV['PGDATABASE']]
end

# the server's error is the cause of that of a library above
def sqlstate(error)
  while error
    return error.result.error_field(PG::Result::PG_DIAG_SQLSTATE) if error.is_a?(PG::ServerError) && error.result

    error = error.cause
  end
end

def result_of(call, queue, value)
  ['id', call.call(queue, value)]
rescue NoWay
  ['none']
rescue StandardError, NotImplementedError => e
  said = e.message.dup.force_encoding('UTF-8').scrub.gsub(/[[:space:]\0]+/, ' ')[0, 200]
  state = sqlstate(e)
  state ? ['server', state, said] : ['driver', e.class.name, said]
end

def run(mode, ways)
  ways.each do |way, call|
    VALUES.each do |name, value|
      %w[json text bytea].each do |queue|
        puts [mode, way, name, queue, *result_of(call, queue, value)].join("\t")
      end
    end
  end
end
