-- wrk -s requests.lua URL -- TOKEN PATHS: reads, each of a random line of the file PATHS.
-- wrk -s requests.lua URL -- TOKEN: creates a platform with every request.
-- At the end: requests, microseconds, faults, and the 50th and 99th percentile in microseconds, on one line.
local paths = {}
local made = 0

function init(args)
    math.randomseed(os.time())
    wrk.headers["Authorization"] = "Bearer " .. args[1]
    if args[2] then
        for line in io.lines(args[2]) do
            paths[#paths + 1] = wrk.format("GET", line)
        end
    else
        wrk.method = "POST"
        wrk.headers["Content-Type"] = "application/json"
    end
end

function request()
    if #paths > 0 then
        return paths[math.random(#paths)]
    end
    made = made + 1
    local name = string.format("b-%d-%09d-%d", os.time(), math.random(999999999), made)
    wrk.headers["Idempotency-Key"] = name
    return wrk.format(nil, "/api/v1/platforms", nil, '{"name":"Bench","slug":"' .. name .. '","tier":"starter"}')
end

function done(summary, latency, _)
    local faults = summary.errors
    io.write(string.format("nno %d %d %d %d %d\n", summary.requests, summary.duration,
        faults.connect + faults.read + faults.write + faults.status + faults.timeout,
        latency:percentile(50), latency:percentile(99)))
end
