# Copyright (c) 2026, the outbox developers
#
# Ordinary Sidekiq jobs.  They write down that they have run.
require "sidekiq"

# what comes with a job beside its arguments
class Tracing
  def call(_, job, _)
    if job["trace"]
      File.open("processed", "a") { |f|
        f.puts(["middleware", job["jid"], job["trace"], job["tags"].join(",")].join(" ")) }
    end
    yield
  end
end

Sidekiq.configure_client do |config|
  config.redis = {url: ENV["REDIS_URL"]}
  config.logger.level = Logger::WARN
end
Sidekiq.configure_server do |config|
  config.redis = {url: ENV["REDIS_URL"]}
  # so that a test needn't wait for retries
  options = config.respond_to?(:options) ? config.options : config
  options[:poll_interval_average] = 1
  config.server_middleware { |chain| chain.add Tracing }
end

module Noting
  def note(*words)
    File.open("processed", "a") { |f| f.puts([self.class, jid, *words].join(" ")) }
  end
end

class Add
  include Sidekiq::Job
  include Noting

  def perform(*args)
    note(JSON.generate(args))
  end
end

class Stamp
  include Sidekiq::Job
  include Noting

  def perform
    note(format("%.3f", Time.now.to_f))
  end
end

class Flaky
  include Sidekiq::Job
  include Noting
  sidekiq_retry_in { 1 }

  def perform(path)
    note("attempt")
    raise IOError, "not yet" unless File.exist?(path)
    note("at last")
  end
end
