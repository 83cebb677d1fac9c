-- wrk: posts the files that are named after `--`, one after the other, each thread from a place of its own. With `unique=TEXT`
-- before them no two bodies are the same, nor the same as with another text: what follows the end of a picture is not part of it.
local bodies, place, count, unique = {}, 0, 0, nil

function init(args)
    unique = (args[1] or ""):match("^unique=(.*)$")
    for number = unique and 2 or 1, #args do
        local name = args[number]
        local file = assert(io.open(name, "rb"))
        bodies[#bodies + 1] = file:read("*a")
        file:close()
    end
    place = math.random(#bodies)
end

function request()
    place, count = place % #bodies + 1, count + 1
    local body = bodies[place] .. (unique and unique .. count or "")
    return wrk.format("POST", nil, { ["Content-Type"] = "image/jpeg" }, body)
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d %.0f %.0f %.0f\n", summary.requests, summary.duration, errors.status,
        errors.connect + errors.read + errors.write, errors.timeout,
        latency:percentile(50), latency:percentile(99), latency.max))
end
