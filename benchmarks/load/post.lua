-- wrk: POST bodies from a file in rotation; print the figures as one line of JSON.
--
-- wrk ... -s post.lua URL -- BODIES CONTENT_TYPE [HEADER VALUE]...
-- BODIES holds bodies of any bytes, each behind its length in bytes as a decimal line.

local requests, count, turn, threads = {}, 0, 0, 0

function setup(thread)
  thread:set("turn", threads * 97) -- threads begin at different bodies
  threads = threads + 1
end

function init(args)
  local headers = { ["Content-Type"] = args[2] }
  for index = 3, #args, 2 do headers[args[index]] = args[index + 1] end
  local file = assert(io.open(args[1], "rb"))
  for length in function() return file:read("*l") end do
    count = count + 1
    requests[count] = wrk.format("POST", nil, headers, file:read(tonumber(length)))
  end
  file:close()
end

function request()
  turn = turn + 1
  return requests[turn % count + 1]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "not_200": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
