-- KEYS: meta, events, the host's page, lines. ARGV: the job's key, the host's bits in its page, the event, its tag, the
-- line. Gives whether it was taken, and where the lines begin and end. A line's id is where it ends, counted in bytes with
-- a newline each; an empty one is none.
local state = redis.call('HMGET', KEYS[1], 'closed', 'job', KEYS[3], 'first', 'end')
if not state[1] or (state[2] or '') ~= ARGV[1] then return {-1, '0', '0'} end
local first, last = state[4], state[5]
if state[1] ~= '0' then return {0, first, last} end
if host_bits(KEYS[3], state[3], ARGV[2]) == 2 then return {0, first, last} end
if ARGV[5] ~= '' then
    last = string.format('%.0f', last + #ARGV[5] + 1)
    append(KEYS[4], last, 'l', ARGV[5])
    redis.call('HSET', KEYS[1], 'end', last)
end
append_event(ARGV[3], ARGV[4])
set_host_bits(KEYS[3], state[3], ARGV[2], 2)
return {1, first, last}
