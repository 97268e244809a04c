-- Stands before the scripts of a job. KEYS[1] is its meta, KEYS[2] its events, ARGV[1] its key.
--
-- A script that fails half-way is not rolled back. So what may fail comes first: an entry is appended to a stream before a
-- host counts as claimed or settled, and who repeats the step finds it undone.

-- How far beyond the highest position that is known others may have heard: more bytes than a job has results.
local LEAP = 68719476736

-- Appends an entry to a stream, which Redis forgets together with the job.
local function append(stream, id, ...)
    redis.call('XADD', stream, string.format('%.0f-0', id), ...)
    if redis.call('XLEN', stream) == 1 then redis.call('PEXPIRE', stream, redis.call('PTTL', KEYS[1])) end
end

local function append_event(event, tag)
    append(KEYS[2], redis.call('HINCRBY', KEYS[1], 'n', 1), 'e', event, 't', tag)
end

-- The position of the last entry of a stream; 0 if it has none.
local function last_position(stream)
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    return last and tonumber(string.match(last[1], '^%d+')) or 0
end

-- A position beyond all that were given out: microseconds since 1970, or beyond the highest that is known. Whole in a
-- double until 2255.
local function position_beyond(highest)
    local time = redis.call('TIME')
    return math.max(time[1] * 1000000 + time[2], highest + LEAP)
end

-- The two bits of a host: 0 pending, 1 claimed, 2 settled. `field` is that of its page in the meta; a page without one was
-- left by an earlier job.
local function host_bits(page, field, bits)
    if not field then redis.call('UNLINK', page) end
    return redis.call('BITFIELD', page, 'GET', 'u2', bits)[1]
end

local function set_host_bits(page, field, bits, value)
    redis.call('BITFIELD', page, 'SET', 'u2', bits, value)
    if field then return end
    redis.call('HSET', KEYS[1], page, '')
    redis.call('PEXPIRE', page, redis.call('PTTL', KEYS[1]))
end

