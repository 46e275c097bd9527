-- wrk.lua - one request over and over, one line of figures at the end.
--
-- wrk -s wrk.lua URL -- [METHOD CONTENT_TYPE BODY_FILE]
-- Prints requests, seconds, p50 and p99 in microseconds, answers that were not 200 and failures of
-- sockets, separated by commas. The request is made once: no Lua runs while wrk measures.

function init(args)
  if #args == 0 then
    return
  end
  local file = assert(io.open(args[3], "rb"))
  wrk.method = args[1]
  wrk.headers["Content-Type"] = args[2]
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("figures:%d,%f,%d,%d,%d,%d\n", summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
