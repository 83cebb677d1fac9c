-- wrk: posts the files that are named after `--`, one after the other, each thread from a place of its own.
local bodies, place = {}, 0

function init(args)
    for _, name in ipairs(args) do
        local file = assert(io.open(name, "rb"))
        bodies[#bodies + 1] = file:read("*a")
        file:close()
    end
    place = math.random(#bodies)
end

function request()
    place = place % #bodies + 1
    return wrk.format("POST", nil, { ["Content-Type"] = "image/jpeg" }, bodies[place])
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d %.0f %.0f %.0f\n", summary.requests, summary.duration, errors.status,
        errors.connect + errors.read + errors.write, errors.timeout,
        latency:percentile(50), latency:percentile(99), latency.max))
end
